import AerostatHost
import AerostatMigration
import AerostatVirtio
import CLinux

// The state of the machine outside the vCPUs, in three sections. Structures are as in KVM:
//
//     "kvm-irqchip"   master and slave PIC, IOAPIC: 512 bytes each
//     "kvm-pit"       pit_state2
//     "kvm-clock"     the guest's clock in nanoseconds u64
extension VirtualMachine {
    static let controllersSection = "kvm-irqchip"
    static let timerSection = "kvm-pit"
    static let clockSection = "kvm-clock"
    private static let stateVersion: UInt32 = 1

    /// `struct kvm_irqchip`: the number of the controller u32, padding u32, its state.
    private static let controllers: [UInt32] = [
        UInt32(KVM_IRQCHIP_PIC_MASTER), UInt32(KVM_IRQCHIP_PIC_SLAVE), UInt32(KVM_IRQCHIP_IOAPIC),
    ]
    private static let controllerBytes = 512

    func saveState(clock: UInt64) throws(KVMError) -> [DeviceSection] {
        var controllers = FieldBytes()
        for number in Self.controllers {
            var chip = Self.header(number) + Array(repeating: 0, count: Self.controllerBytes)
            try descriptor.exchange(KVMRequest("KVM_GET_IRQCHIP", aerostat_kvm_get_irqchip), &chip)
            controllers.append(chip.suffix(Self.controllerBytes))
        }
        let timer = try descriptor.read(
            KVMRequest("KVM_GET_PIT2", aerostat_kvm_get_pit2),
            byteCount: MemoryLayout<kvm_pit_state2>.size
        )
        var time = FieldBytes()
        time.append(clock)
        return [
            DeviceSection(name: Self.controllersSection, version: Self.stateVersion, bytes: controllers.bytes),
            DeviceSection(name: Self.timerSection, version: Self.stateVersion, bytes: timer),
            DeviceSection(name: Self.clockSection, version: Self.stateVersion, bytes: time.bytes),
        ]
    }

    private static func header(_ number: UInt32) -> [UInt8] {
        var writer = FieldBytes()
        writer.append(number)
        writer.append(UInt32(0))
        return writer.bytes
    }

    /// The content of the sections, with checked lengths.
    struct Saved {
        fileprivate let controllers: [[UInt8]]
        fileprivate let timer: [UInt8]
        let clock: UInt64

        /// - Parameter sections: foreign input.
        init(_ sections: [DeviceSection]) throws(DeviceStateError) {
            var reader = StateReader(try sections.bytes(of: controllersSection, version: stateVersion))
            var controllers: [[UInt8]] = []
            for _ in VirtualMachine.controllers {
                controllers.append(try reader.takeBytes("interrupt controller", count: controllerBytes))
            }
            try reader.finish()
            self.controllers = controllers
            reader = StateReader(try sections.bytes(of: timerSection, version: stateVersion))
            timer = try reader.takeBytes("timer", count: MemoryLayout<kvm_pit_state2>.size)
            try reader.finish()
            reader = StateReader(try sections.bytes(of: clockSection, version: stateVersion))
            clock = try reader.take("clock")
            try reader.finish()
        }
    }

    /// Call this after the vCPUs are restored: an interrupt that a controller still holds goes to a local APIC at once.
    func restore(_ saved: Saved) throws(KVMError) {
        for (number, state) in zip(Self.controllers, saved.controllers) {
            var chip = Self.header(number) + state
            try descriptor.exchange(KVMRequest("KVM_SET_IRQCHIP", aerostat_kvm_set_irqchip), &chip)
        }
        var timer = saved.timer
        try descriptor.exchange(KVMRequest("KVM_SET_PIT2", aerostat_kvm_set_pit2), &timer)
        try setClock(saved.clock)
    }

    // MARK: The clock

    /// The guest's clock (kvmclock) in nanoseconds.
    func clock() throws(KVMError) -> UInt64 {
        try descriptor.get(KVMRequest("KVM_GET_CLOCK", aerostat_kvm_get_clock), kvm_clock_data()).clock
    }

    func setClock(_ nanoseconds: UInt64) throws(KVMError) {
        var data = kvm_clock_data()
        data.clock = nanoseconds
        try descriptor.set(KVMRequest("KVM_SET_CLOCK", aerostat_kvm_set_clock), data)
    }
}
