public import AerostatMigration
import AerostatVirtio
import Synchronization

// The state that is not RAM: a section for each vCPU, those of the kernel's controllers, timer and clock, and those of the devices.
//
// Time stops while a guest travels. Its clock continues from the value at the pause, and its time stamp counters from the values at the
// save.
extension MicroVM {
    /// The name of the requirement that marks a guest as one of a machine under KVM.
    public static let kind = MachineRequirements.sectionName

    /// What a destination must offer.
    public var requirements: [DeviceSection] {
        [MachineRequirements(of: machine, devices: registry.virtioNames).section] + registry.devices.requirements
    }

    public func saveDeviceState() throws(GuestError) -> [DeviceSection] {
        try standing.withLock { (standing) throws(GuestError) in
            guard standing.isPaused else { throw GuestError("the guest must be paused for its state to be saved") }
            guard standing.isLoaded else { throw GuestError("the machine has no guest yet") }
            if let ending { throw GuestError("the guest has ended: \(ending)") }
            // If the machine never ran, nobody has read its clock yet, and the kernel still has it.
            let stopped = standing.clock
            return try reading("the state cannot be read") { () throws(KVMError) in
                let clock = if let stopped { stopped } else { try machine.clock() }
                return try sections(clock: clock)
            }
        }
    }

    private func sections(clock: UInt64) throws(KVMError) -> [DeviceSection] {
        var sections: [DeviceSection] = []
        for vcpu in machine.vcpus {
            sections.append(try VCPUState(of: vcpu).section(vcpu.index))
        }
        sections += try machine.saveState(clock: clock)
        return sections + registry.devices.saveState()
    }

    public func loadDeviceState(_ sections: [DeviceSection]) throws(GuestError) {
        try standing.withLock { (standing) throws(GuestError) in
            guard standing.isPaused, !standing.isLoaded, !standing.isShutDown else {
                throw GuestError("only a machine that never had a guest can take over another one's state")
            }
            standing.clock = try takeOver(sections)
            standing.isLoaded = true
        }
    }

    /// - Returns: the guest's clock.
    private func takeOver(_ sections: [DeviceSection]) throws(GuestError) -> UInt64 {
        // Everything that can be found wrong is found before anything changes.
        let devices = try registry.devices.decodeState(sections)
        let (vcpus, saved) = try decoding { () throws(DeviceStateError) in try decode(sections) }
        for (index, state) in vcpus.enumerated() { try MachineRequirements.check(state.cpuid, of: index, against: machine) }
        try reading("the state does not fit") { () throws(KVMError) in
            for (vcpu, state) in zip(machine.vcpus, vcpus) { try state.restore(to: vcpu, canScaleTSC: machine.traits.canScaleTSC) }
            try machine.restore(saved)
        }
        // Devices come last: they repeat to the interrupt controllers what those have not taken yet.
        devices.apply()
        return saved.clock
    }

    private func decode(_ sections: [DeviceSection]) throws(DeviceStateError) -> ([VCPUState], VirtualMachine.Saved) {
        var vcpus: [VCPUState] = []
        let known = Set(machine.traits.savedMSRs)
        for vcpu in machine.vcpus {
            let section = try sections.section(VCPUState.sectionName(vcpu.index))
            vcpus.append(try VCPUState(section, xsaveBytes: vcpu.xsaveBytes, knownMSRs: known))
        }
        return (vcpus, try VirtualMachine.Saved(sections))
    }

    private func decoding<Result>(_ body: () throws(DeviceStateError) -> Result) throws(GuestError) -> Result {
        do throws(DeviceStateError) { return try body() } catch { throw GuestError("\(error)") }
    }
}
