import AerostatHost
import AerostatMigration
import AerostatVirtio

/// What a machine needs of the KVM that it runs on. The source tells the destination before any memory moves. The section "kvm-machine":
///
///     vCPUs u32, frequency of the time stamp counter in kHz u32, bytes of extended state u32
///     capabilities u32, then a number u32 for each (linux/kvm.h)
///     MSRs u32, then an index u32 for each
///     CPUID entries u32, then seven u32 for each: what vCPU 0 shows
///     version 2 only: virtio devices u32, then for each by its place: length of its name u32, name
///
/// A machine whose one device is a balloon says so with version 1, which every process knows. Version 2 keeps a guest with other devices
/// from a process that would lose them: one that knows no version 2, and one that cannot make a device of that name.
struct MachineRequirements: Hashable, Sendable {
    static let sectionName = "kvm-machine"
    private static let maximumItems: UInt32 = 1024

    /// The versions of the section's layout.
    private enum Version {
        static let balloonOnly: UInt32 = 1
        static let devicesNamed: UInt32 = 2
        static let devicesOfFirst = ["virtio-balloon"]
    }

    let vcpus: Int
    let tscKilohertz: UInt32
    let xsaveBytes: UInt32
    let capabilities: [UInt32]
    let msrs: [UInt32]
    let cpuid: [CPUIDEntry]
    /// The names of the virtio devices, in the order of their places.
    let devices: [String]

    init(of machine: VirtualMachine, devices: [String]) {
        self.devices = devices
        vcpus = machine.vcpus.count
        let shown = machine.vcpus[0].shownToGuest
        tscKilohertz = shown.tscKilohertz ?? machine.traits.tscKilohertz
        xsaveBytes = UInt32(machine.traits.xsaveBytes)
        capabilities = KVMCapability.required.map(\.number)
        msrs = shown.msrs
        cpuid = shown.cpuid
    }

    var section: DeviceSection {
        var writer = FieldBytes()
        writer.append(UInt32(vcpus))
        writer.append(tscKilohertz)
        writer.append(xsaveBytes)
        for list in [capabilities, msrs] {
            writer.append(UInt32(list.count))
            for item in list { writer.append(item) }
        }
        writer.append(cpuid)
        let isFirst = devices == Version.devicesOfFirst
        if !isFirst {
            writer.append(UInt32(devices.count))
            for device in devices { writer.appendCounted(device) }
        }
        return DeviceSection(
            name: Self.sectionName,
            version: isFirst ? Version.balloonOnly : Version.devicesNamed,
            bytes: writer.bytes
        )
    }

    /// - Parameter sections: foreign input.
    init(_ sections: [DeviceSection]) throws(GuestError) {
        do throws(DeviceStateError) {
            let section = try sections.section(Self.sectionName)
            guard (Version.balloonOnly...Version.devicesNamed).contains(section.version) else { throw .version(section.version) }
            var reader = StateReader(section.bytes)
            let vcpus: UInt32 = try reader.take("vCPU count")
            guard (1...UInt32(KVM.maximumVCPUs)).contains(vcpus) else { throw .value(field: "vCPU count", UInt64(vcpus)) }
            self.vcpus = Int(vcpus)
            tscKilohertz = try reader.take("time stamp counter's frequency")
            xsaveBytes = try reader.take("length of extended state")
            capabilities = try Self.list("capability", &reader)
            msrs = try Self.list("MSR", &reader)
            cpuid = try reader.takeCPUID()
            devices = section.version == Version.balloonOnly ? Version.devicesOfFirst : try Self.deviceNames(&reader)
            try reader.finish()
        } catch {
            throw GuestError("\(error)")
        }
    }

    private static func list(_ what: String, _ reader: inout StateReader) throws(DeviceStateError) -> [UInt32] {
        let count: UInt32 = try reader.take("\(what) count")
        guard count <= maximumItems else { throw .value(field: "\(what) count", UInt64(count)) }
        var items: [UInt32] = []
        for _ in 0..<count { items.append(try reader.take(what)) }
        return items
    }

    private static func deviceNames(_ reader: inout StateReader) throws(DeviceStateError) -> [String] {
        let count: UInt32 = try reader.take("device count")
        guard count <= MachineLayout.virtioInterrupts.count else { throw .value(field: "device count", UInt64(count)) }
        var names: [String] = []
        for _ in 0..<count { names.append(try reader.takeCountedText("device name", maximum: DeviceSection.maximumNameBytes)) }
        return names
    }

    /// The makers of the guest's devices. Throws if one of the devices cannot be made.
    func makers(among offered: [DeviceMaker]) throws(GuestError) -> [DeviceMaker] {
        var makers: [DeviceMaker] = []
        for device in devices {
            guard let maker = offered.first(where: { $0.name == device }) else {
                throw GuestError("the guest has the device \(device), which this process does not offer")
            }
            makers.append(maker)
        }
        return makers
    }

    /// Throws if this host lacks something that the guest needs.
    func check(against machine: VirtualMachine) throws(GuestError) {
        for number in capabilities where machine.lacks(number) {
            let name = KVMCapability.required.first { $0.number == number }?.name ?? "capability \(number)"
            throw GuestError("the guest needs \(name), which this host's KVM lacks")
        }
        if let index = msrs.first(where: { !machine.traits.savedMSRs.contains($0) }) {
            throw GuestError("the guest needs the register MSR 0x\(String(index, radix: 16)), which this host's KVM does not save")
        }
        guard xsaveBytes <= machine.traits.xsaveBytes else {
            throw GuestError("the guest's extended state has \(xsaveBytes) bytes, this host has room for \(machine.traits.xsaveBytes)")
        }
        let here = machine.traits.tscKilohertz
        guard machine.traits.canScaleTSC || Self.isWithinTolerance(tscKilohertz, here) else {
            throw GuestError(
                "the guest's time stamp counter runs at \(tscKilohertz) kHz, this host's at \(here) kHz, and KVM cannot scale it here"
            )
        }
        try Self.check(cpuid, of: 0, against: machine)
    }

    /// KVM treats frequencies as equal within 250 parts per million (its parameter tsc_tolerance_ppm).
    static func isWithinTolerance(_ one: UInt32, _ other: UInt32) -> Bool {
        UInt64(max(one, other) - min(one, other)) * 1_000_000 <= UInt64(other) * 250
    }

    /// Throws if the processor lacks features that the guest was shown.
    static func check(_ cpuid: [CPUIDEntry], of vcpu: Int, against machine: VirtualMachine) throws(GuestError) {
        let missing = CPUIDPolicy.missing(required: cpuid, offered: machine.cpuid(of: vcpu))
        guard missing.isEmpty else {
            throw GuestError("the guest uses features that this host's processor lacks: \(missing.joined(separator: ", "))")
        }
    }
}

extension VirtualMachine {
    func lacks(_ capability: UInt32) -> Bool {
        do throws(KVMError) {
            return try descriptor.value(of: KVMCapability("capability \(capability)", Int32(bitPattern: capability))) == 0
        } catch { return true }
    }
}
