import AerostatBalloon
import AerostatEntropy
import AerostatGuestMemory
import AerostatHost
public import AerostatMigration
import AerostatVirtio
import Synchronization

// The state that is not RAM: the devices' sections, and a section of registers, little-endian:
//
//     page of the boot header u64 (always 0), vCPUs u32, the guest's clock in nanoseconds u64
extension ModelGuest {
    /// The name of the requirement that marks a guest as a model guest.
    public static let kind = "model-guest"
    static let registersSection = kind
    private static let registersVersion: UInt32 = 1

    /// What a destination must have: a model guest that can continue the kernel in RAM.
    private static let requirement = DeviceSection(name: kind, version: UInt32(BootHeader.currentVersion), bytes: [])

    public var requirements: [DeviceSection] { [Self.requirement] + devices.requirements }

    static func hasEntropy(_ requirements: [DeviceSection]) -> Bool { requirements.contains(EntropyDevice.requirement) }

    /// Checks whether a model guest here can take over the guest that requires this. Throws the refusal.
    public static func check(requirements: [DeviceSection]) throws(GuestError) {
        for requirement in requirements where requirement != Self.requirement && requirement != EntropyDevice.requirement {
            guard requirement.name == kind else { throw GuestError("no model guest offers what the guest requires: \(requirement.name)") }
            throw GuestError(
                "the guest's model kernel has version \(requirement.version), but only version \(Self.requirement.version) is known here"
            )
        }
        guard requirements.contains(Self.requirement) else { throw GuestError("the guest does not say that it is a model guest") }
    }

    public func saveDeviceState() throws(GuestError) -> [DeviceSection] {
        try machine.withLock { (machine) throws(GuestError) in
            guard machine.isPaused else { throw GuestError("the guest must be paused for its state to be saved") }
            guard let kernel else { throw GuestError("the guest has no state yet") }
            var writer = FieldBytes()
            writer.append(UInt64(0))
            writer.append(UInt32(kernel.parameters.vcpus))
            writer.append(control.clock.nanoseconds)
            let registers = DeviceSection(name: Self.registersSection, version: Self.registersVersion, bytes: writer.bytes)
            return [registers] + devices.saveState()
        }
    }

    public func loadDeviceState(_ sections: [DeviceSection]) throws(GuestError) {
        try machine.withLock { (machine) throws(GuestError) in
            guard machine.isPaused, machine.threads.isEmpty, !machine.hasEnded else {
                throw GuestError("only a guest that never ran here can take over another one's state")
            }
            let registers = try readRegisters(sections)
            let kernel: Kernel
            do throws(KernelPanic) {
                kernel = try Kernel(running: KernelMemory(memory))
            } catch {
                throw GuestError("\(error)")
            }
            guard kernel.parameters.vcpus == Int(registers.vcpus) else {
                throw GuestError("the registers are those of \(registers.vcpus) vCPUs, RAM holds \(kernel.parameters.vcpus)")
            }
            try devices.decodeState(sections).apply()
            control.clock.nanoseconds = registers.nanoseconds
            adopt(kernel)
        }
    }

    /// Gives a guest another workload after its RAM has arrived and before its device state is loaded. The number of vCPUs stays.
    /// - Throws: if the guest is past that point, the workload is invalid, or RAM holds no model kernel.
    public func override(workload: Workload) throws(GuestError) {
        do throws(ModelGuestConfiguration.Invalid) { try workload.validate() } catch { throw GuestError("\(error)") }
        try machine.withLock { (machine) throws(GuestError) in
            guard kernel == nil, machine.threads.isEmpty, !machine.hasEnded else {
                throw GuestError("only a guest whose device state is not loaded yet can be given another workload")
            }
            do throws(KernelPanic) { try Kernel.setWorkload(workload, in: KernelMemory(memory)) } catch { throw GuestError("\(error)") }
        }
    }

    private func readRegisters(_ sections: [DeviceSection]) throws(GuestError) -> (vcpus: UInt32, nanoseconds: UInt64) {
        guard let section = sections.first(where: { $0.name == Self.registersSection }) else {
            throw GuestError("the device state has no section \(Self.registersSection)")
        }
        guard section.version == Self.registersVersion else {
            throw GuestError("the registers have version \(section.version), but only version \(Self.registersVersion) is known here")
        }
        do throws(DeviceStateError) {
            var reader = StateReader(section.bytes)
            let entry: UInt64 = try reader.take("boot header page")
            guard entry == 0 else { throw .value(field: "boot header page", entry) }
            let registers: (UInt32, UInt64) = (try reader.take("vCPU count"), try reader.take("guest clock"))
            try reader.finish()
            return registers
        } catch {
            throw GuestError("\(error)")
        }
    }
}
