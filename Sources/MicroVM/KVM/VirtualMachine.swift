import AerostatGuestMemory
import AerostatHost
import CLinux

/// A virtual machine of KVM: its memory slots, its interrupt controllers and timers in the kernel, and its vCPUs.
final class VirtualMachine: DeviceWiring, Sendable {
    let descriptor: KVMDescriptor
    let memory: GuestRAM
    /// The memory that was present when the machine was made: what KVM maps, by slot.
    let slots: [HostRange]
    let vcpus: [VCPU]
    /// How KVM records which pages were written.
    let log: Log
    let traits: Traits

    enum Log: Hashable, Sendable {
        /// A bitmap for each slot, cleared manually.
        case bitmap
        /// A ring with this many entries for each vCPU.
        case rings(entries: Int)
        /// KVM records nothing: another tracker is used.
        case none
    }

    /// Facts about the KVM that runs the machine.
    struct Traits: Sendable {
        let savedMSRs: [UInt32]
        let supportedCPUID: [CPUIDEntry]
        let hasTSCDeadlineTimer: Bool
        /// The size of a vCPU's extended state in bytes: 4096 unless the processor has more.
        let xsaveBytes: Int
        let canScaleTSC: Bool
        /// The time stamp counter's frequency in a new vCPU.
        let tscKilohertz: UInt32
    }

    /// Makes a machine around guest RAM. Its vCPUs are in the state after a reset.
    init(_ kvm: borrowing KVM, _ memory: GuestRAM, vcpus count: Int, log: Log) throws(KVMError) {
        let limit = min(KVM.maximumVCPUs, try kvm.value(of: .maximumVCPUs))
        guard (1...limit).contains(count) else { throw .vcpus(count, maximum: limit) }
        let machine = try kvm.createMachine()
        try Self.enableLog(log, kvm, machine)
        if try kvm.value(of: .emulationFailureExit) > 0 { try Self.enable(.emulationFailureExit, 1, machine) }
        var identityMap = MachineLayout.identityMap
        let setIdentityMap = KVMRequest("KVM_SET_IDENTITY_MAP_ADDR", aerostat_kvm_set_identity_map_address)
        try unsafe machine.request(setIdentityMap, &identityMap)
        try machine.request(
            KVMRequest("KVM_SET_TSS_ADDR", aerostat_kvm_set_tss_address),
            number: UInt(MachineLayout.taskStateSegment)
        )
        try machine.request(KVMRequest("KVM_CREATE_IRQCHIP", aerostat_kvm_create_irqchip))
        var pit = kvm_pit_config()
        pit.flags = UInt32(KVM_PIT_SPEAKER_DUMMY)
        try machine.set(KVMRequest("KVM_CREATE_PIT2", aerostat_kvm_create_pit2), pit)
        let slots = memory.hostRanges()
        for slot in slots.indices { try Self.setSlot(slot, slots[slot], isLogged: false, machine) }

        let mappingBytes = try kvm.vcpuMappingBytes()
        let xsaveBytes = try max(4096, machine.value(of: .largeXSAVE))
        var vcpus: [VCPU] = []
        for index in 0..<count {
            vcpus.append(try VCPU(index, of: machine, mappingBytes: mappingBytes, log: log, xsaveBytes: xsaveBytes))
        }
        traits = Traits(
            savedMSRs: try kvm.savedMSRs(),
            supportedCPUID: try kvm.supportedCPUID(),
            hasTSCDeadlineTimer: try kvm.value(of: .tscDeadlineTimer) > 0,
            xsaveBytes: xsaveBytes,
            canScaleTSC: try kvm.value(of: .tscScaling) > 0,
            tscKilohertz: try vcpus[0].tscKilohertz()
        )
        self.vcpus = vcpus
        self.memory = memory
        self.slots = slots
        self.log = log
        descriptor = machine
    }

    private static func enable(_ capability: KVMCapability, _ argument: UInt64, _ machine: borrowing KVMDescriptor) throws(KVMError) {
        var request = kvm_enable_cap()
        request.cap = capability.number
        request.args.0 = argument
        try machine.set(KVMRequest("KVM_ENABLE_CAP \(capability.name)", aerostat_kvm_enable_cap), request)
    }

    /// Must come before the first vCPU is made, because the vCPU's ring is made with it.
    private static func enableLog(_ log: Log, _ kvm: borrowing KVM, _ machine: borrowing KVMDescriptor) throws(KVMError) {
        switch log {
        case .bitmap:
            // Both bits: cleared manually, and all set at first. Then enabling the log protects no page yet, and arming does it.
            let wanted = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET
            guard try kvm.value(of: .manualDirtyLog) & Int(wanted) == Int(wanted) else {
                throw .capability("\(KVMCapability.manualDirtyLog.name) with value \(wanted)", path: kvm.path)
            }
            try enable(.manualDirtyLog, UInt64(wanted), machine)
        case .none: break
        case .rings(let entries):
            let bytes = UInt64(entries * MemoryLayout<kvm_dirty_gfn>.size)
            for capability in [KVMCapability.dirtyRing, .olderDirtyRing] where try UInt64(kvm.value(of: capability)) >= bytes {
                return try enable(capability, bytes, machine)
            }
            throw .capability("\(KVMCapability.dirtyRing.name) with \(entries) entries", path: kvm.path)
        }
    }

    // MARK: Memory slots

    /// Makes one slot for each region of RAM. The slot's number is the region's index.
    private static func setSlot(
        _ slot: Int,
        _ range: HostRange,
        isLogged: Bool,
        _ machine: borrowing KVMDescriptor
    ) throws(KVMError) {
        var request = kvm_userspace_memory_region()
        request.slot = UInt32(slot)
        request.flags = isLogged ? aerostat_kvm_mem_log_dirty_pages : 0
        request.guest_phys_addr = range.region.base.rawValue
        request.memory_size = range.region.byteCount
        request.userspace_addr = unsafe UInt64(UInt(bitPattern: range.address))
        try machine.set(KVMRequest("KVM_SET_USER_MEMORY_REGION", aerostat_kvm_set_user_memory_region), request)
    }

    /// Enables or disables KVM's log of writes for all RAM.
    func setLogging(_ isLogged: Bool) throws(KVMError) {
        for slot in slots.indices { try Self.setSlot(slot, slots[slot], isLogged: isLogged, descriptor) }
    }

    /// The guest's number of a slot's first page.
    func firstPage(ofSlot slot: Int) -> PageIndex { memory.regions.page(containing: slots[slot].region.base)! }

    /// What a vCPU may see of the processor here.
    func cpuid(of vcpu: Int) -> [CPUIDEntry] {
        let hasTimer = traits.hasTSCDeadlineTimer
        return CPUIDPolicy(supported: traits.supportedCPUID, vcpus: vcpus.count, hasTSCDeadlineTimer: hasTimer).entries(vcpu: vcpu)
    }

    // MARK: Interrupts and kicks

    package func connect(_ event: Doorbell, toInterrupt interrupt: UInt32) throws(KVMError) {
        var request = kvm_irqfd()
        request.fd = UInt32(event.descriptor)
        request.gsi = interrupt
        try descriptor.set(KVMRequest("KVM_IRQFD", aerostat_kvm_irqfd), request)
    }

    package func connect(_ address: UInt64, value: UInt32?, to doorbell: Doorbell) throws(KVMError) {
        var request = kvm_ioeventfd()
        request.addr = address
        request.len = 4
        request.fd = doorbell.descriptor
        if let value {
            request.datamatch = UInt64(value)
            request.flags = 1 << UInt32(kvm_ioeventfd_flag_nr_datamatch)
        }
        try descriptor.set(KVMRequest("KVM_IOEVENTFD", aerostat_kvm_ioeventfd), request)
    }

    /// Sets the level of an interrupt line of the controllers in the kernel.
    func setLine(_ interrupt: UInt32, _ level: Bool) {
        var request = kvm_irq_level()
        request.irq = interrupt
        request.level = level ? 1 : 0
        do throws(KVMError) {
            try unsafe descriptor.request(KVMRequest("KVM_IRQ_LINE", aerostat_kvm_irq_line), &request)
        } catch {
            preconditionFailure("an interrupt line of our own: \(error)")
        }
    }
}
