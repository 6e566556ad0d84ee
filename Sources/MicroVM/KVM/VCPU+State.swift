import AerostatHost
import AerostatMigration
import AerostatVirtio
import CLinux
import SystemPackage

// The section "kvm-vcpu-N": the state of one vCPU. Little-endian; structures as in KVM (Documentation/virt/kvm/api.rst of Linux):
//
//     CPUID entries u32, then seven u32 for each          frequency of the time stamp counter in kHz u32
//     sregs, regs, xsave, xcrs, debugregs, lapic: each a length u32 and as many bytes
//     MSRs u32, then for each an index u32 and a value u64
//     vcpu_events, mp_state: as above
//
// A vCPU also takes the parts in this order. Special registers come before everything that depends on the mode and on the APIC's base. The
// local APIC comes before the MSRs: the deadline of its timer is an MSR, and is accepted only in the timer's deadline mode. The time stamp
// counter is the last MSR except for that deadline, which is relative to it. Events and the activity state are last.

/// A structure that is read and written as a whole.
struct VCPUPart: Sendable {
    let name: String
    let get: KVMRequest
    let set: KVMRequest
    let byteCount: Int

    private init(_ name: String, _ get: UInt, _ set: UInt, _ byteCount: Int) {
        self.name = name
        let suffix = name.uppercased()
        self.get = KVMRequest("KVM_GET_\(suffix)", get)
        self.set = KVMRequest("KVM_SET_\(suffix)", set)
        self.byteCount = byteCount
    }

    /// - Parameter xsaveBytes: larger than the structure in the headers if the processor has dynamic features.
    static func beforeMSRs(xsaveBytes: Int) -> [VCPUPart] {
        [
            VCPUPart("sregs", aerostat_kvm_get_sregs, aerostat_kvm_set_sregs, MemoryLayout<kvm_sregs>.size),
            VCPUPart("regs", aerostat_kvm_get_regs, aerostat_kvm_set_regs, MemoryLayout<kvm_regs>.size),
            xsaveBytes > minimumXSAVEBytes
                ? VCPUPart(xsave, aerostat_kvm_get_xsave2, aerostat_kvm_set_xsave, xsaveBytes)
                : VCPUPart(xsave, aerostat_kvm_get_xsave, aerostat_kvm_set_xsave, minimumXSAVEBytes),
            VCPUPart("xcrs", aerostat_kvm_get_xcrs, aerostat_kvm_set_xcrs, MemoryLayout<kvm_xcrs>.size),
            VCPUPart("debugregs", aerostat_kvm_get_debugregs, aerostat_kvm_set_debugregs, MemoryLayout<kvm_debugregs>.size),
            VCPUPart("lapic", aerostat_kvm_get_lapic, aerostat_kvm_set_lapic, MemoryLayout<kvm_lapic_state>.size),
        ]
    }

    static let events = VCPUPart(
        "vcpu_events",
        aerostat_kvm_get_vcpu_events,
        aerostat_kvm_set_vcpu_events,
        MemoryLayout<kvm_vcpu_events>.size
    )
    static let activity = VCPUPart("mp_state", aerostat_kvm_get_mp_state, aerostat_kvm_set_mp_state, MemoryLayout<kvm_mp_state>.size)
    static let afterMSRs = [events, activity]

    static let xsave = "xsave"
    static let minimumXSAVEBytes = 4096
}

/// A vCPU's state, as it is saved and sent.
struct VCPUState: Hashable, Sendable {
    var cpuid: [CPUIDEntry]
    var tscKilohertz: UInt32
    var beforeMSRs: [[UInt8]]
    var msrs: [MSR]
    var afterMSRs: [[UInt8]]

    static func sectionName(_ index: Int) -> String { "kvm-vcpu-\(index)" }
    private static let version: UInt32 = 1
    /// How many a section may have.
    static let maximumMSRs = 1024

    // MARK: From and to a paused vCPU

    init(of vcpu: VCPU) throws(KVMError) {
        let shown = vcpu.shownToGuest
        cpuid = shown.cpuid
        // Read first: this carries out an INIT or startup interrupt that waits for the vCPU, and so changes everything read after it.
        let activity = try vcpu.descriptor.read(VCPUPart.activity.get, byteCount: VCPUPart.activity.byteCount)
        tscKilohertz = try vcpu.tscKilohertz()
        beforeMSRs = try Self.read(VCPUPart.beforeMSRs(xsaveBytes: vcpu.xsaveBytes), from: vcpu)
        let last = [MSR.timeStampCounter, MSR.deadline]
        msrs = try vcpu.readMSRs(shown.msrs.filter { !last.contains($0) } + last.filter(shown.msrs.contains))
        afterMSRs = try Self.read([VCPUPart.events], from: vcpu) + [activity]
    }

    private static func read(_ parts: [VCPUPart], from vcpu: VCPU) throws(KVMError) -> [[UInt8]] {
        var contents: [[UInt8]] = []
        for part in parts { contents.append(try vcpu.descriptor.read(part.get, byteCount: part.byteCount)) }
        return contents
    }

    /// Puts the state into a vCPU that never ran.
    func restore(to vcpu: VCPU, canScaleTSC: Bool) throws(KVMError) {
        try vcpu.show(cpuid)
        // Within KVM's tolerance the frequency is accepted without scaling. The next destination is told the guest's original one.
        let own = try vcpu.tscKilohertz()
        guard canScaleTSC || MachineRequirements.isWithinTolerance(tscKilohertz, own) else {
            throw .request("KVM_SET_TSC_KHZ to \(tscKilohertz) kHz", place: "\(vcpu.descriptor.place), \(own) kHz", .invalidArgument)
        }
        if own != tscKilohertz { try vcpu.setTSC(kilohertz: tscKilohertz) }
        vcpu.change { ($0.tscKilohertz, $0.msrs) = (tscKilohertz, msrs.map(\.index)) }
        try Self.write(beforeMSRs, VCPUPart.beforeMSRs(xsaveBytes: vcpu.xsaveBytes), to: vcpu)
        for msr in try vcpu.setMSRs(msrs) {
            // Some registers are read-only. Nothing is lost if the value is the same.
            guard try vcpu.readMSRs([msr.index]).first?.value == msr.value else {
                let number = String(msr.index, radix: 16)
                throw .request("KVM_SET_MSRS", place: "\(vcpu.descriptor.place), MSR 0x\(number)", .invalidArgument)
            }
        }
        try Self.write(afterMSRs, VCPUPart.afterMSRs, to: vcpu)
    }

    private static func write(_ contents: [[UInt8]], _ parts: [VCPUPart], to vcpu: VCPU) throws(KVMError) {
        for (part, content) in zip(parts, contents) {
            // A processor with less extended state has saved fewer bytes.
            var bytes = content + Array(repeating: 0, count: part.byteCount - content.count)
            try vcpu.descriptor.exchange(part.set, &bytes)
        }
    }

    // MARK: As a section

    func section(_ index: Int) -> DeviceSection {
        var writer = FieldBytes()
        writer.append(cpuid)
        writer.append(tscKilohertz)
        func put(_ parts: [[UInt8]]) {
            for part in parts {
                writer.append(UInt32(part.count))
                writer.append(part)
            }
        }
        put(beforeMSRs)
        writer.append(UInt32(msrs.count))
        for msr in msrs {
            writer.append(msr.index)
            writer.append(msr.value)
        }
        put(afterMSRs)
        return DeviceSection(name: Self.sectionName(index), version: Self.version, bytes: writer.bytes)
    }

    /// - Parameter section: foreign input. Lengths are checked here. KVM checks the content when it takes it.
    init(_ section: DeviceSection, xsaveBytes: Int, knownMSRs: Set<UInt32>) throws(DeviceStateError) {
        guard section.version == Self.version else { throw .version(section.version) }
        var reader = StateReader(section.bytes)
        cpuid = try reader.takeCPUID()
        tscKilohertz = try reader.take("time stamp counter's frequency")
        beforeMSRs = try Self.take(VCPUPart.beforeMSRs(xsaveBytes: xsaveBytes), &reader)
        let count: UInt32 = try reader.take("MSR count")
        guard count <= Self.maximumMSRs else { throw .value(field: "MSR count", UInt64(count)) }
        msrs = []
        for _ in 0..<count {
            let msr = MSR(index: try reader.take("MSR index"), value: try reader.take("MSR value"))
            guard knownMSRs.contains(msr.index) else { throw .value(field: "MSR index", UInt64(msr.index)) }
            msrs.append(msr)
        }
        afterMSRs = try Self.take(VCPUPart.afterMSRs, &reader)
        try reader.finish()
    }

    private static func take(_ parts: [VCPUPart], _ reader: inout StateReader) throws(DeviceStateError) -> [[UInt8]] {
        var contents: [[UInt8]] = []
        for part in parts {
            let count: UInt32 = try reader.take("length of \(part.name)")
            let minimum = part.name == VCPUPart.xsave ? VCPUPart.minimumXSAVEBytes : part.byteCount
            guard (minimum...part.byteCount).contains(Int(count)) else { throw .value(field: "length of \(part.name)", UInt64(count)) }
            contents.append(try reader.takeBytes(part.name, count: Int(count)))
        }
        return contents
    }
}

extension VCPU {
    func tscKilohertz() throws(KVMError) -> UInt32 {
        UInt32(clamping: try descriptor.request(KVMRequest("KVM_GET_TSC_KHZ", aerostat_kvm_get_tsc_khz)))
    }

    func setTSC(kilohertz: UInt32) throws(KVMError) {
        try descriptor.request(KVMRequest("KVM_SET_TSC_KHZ", aerostat_kvm_set_tsc_khz), number: UInt(kilohertz))
    }

    /// Tells a guest that uses KVM's clock that it was stopped. KVM refuses this for other guests.
    func noteStop() {
        do throws(KVMError) { try descriptor.request(KVMRequest("KVM_KVMCLOCK_CTRL", aerostat_kvm_kvmclock_ctrl)) } catch { return }
    }
}

extension FieldBytes {
    mutating func append(_ cpuid: [CPUIDEntry]) {
        append(UInt32(cpuid.count))
        for entry in cpuid {
            for word in [entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx, entry.edx] { append(word) }
        }
    }
}

extension StateReader {
    mutating func takeCPUID() throws(DeviceStateError) -> [CPUIDEntry] {
        let count: UInt32 = try take("CPUID entry count")
        guard count <= KVM.maximumCPUIDEntries else { throw .value(field: "CPUID entry count", UInt64(count)) }
        var entries: [CPUIDEntry] = []
        for _ in 0..<count {
            entries.append(
                CPUIDEntry(
                    function: try take("CPUID function"),
                    index: try take("CPUID index"),
                    flags: try take("CPUID flags"),
                    eax: try take("CPUID eax"),
                    ebx: try take("CPUID ebx"),
                    ecx: try take("CPUID ecx"),
                    edx: try take("CPUID edx")
                )
            )
        }
        return entries
    }
}
