import AerostatMigration

/// A vCPU's section, parsed only by its documentation.
struct SavedVCPU {
    let cpuidEntries: Int
    /// By name: sregs, regs, xsave, xcrs, debugregs, lapic, vcpu_events, mp_state.
    private(set) var parts: [String: [UInt8]] = [:]
    private(set) var msrs: [UInt32: UInt64] = [:]
    private(set) var msrOrder: [UInt32] = []

    init(_ section: DeviceSection) {
        var bytes = section.bytes[...]
        func take(_ count: Int) -> UInt64 {
            defer { bytes = bytes.dropFirst(count) }
            return bytes.prefix(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        func takePart() -> [UInt8] {
            let count = Int(take(4))
            defer { bytes = bytes.dropFirst(count) }
            return Array(bytes.prefix(count))
        }
        cpuidEntries = Int(take(4))
        bytes = bytes.dropFirst(28 * cpuidEntries)
        _ = take(4)
        for name in ["sregs", "regs", "xsave", "xcrs", "debugregs", "lapic"] { parts[name] = takePart() }
        for _ in 0..<take(4) {
            let index = UInt32(take(4))
            msrs[index] = take(8)
            msrOrder.append(index)
        }
        for name in ["vcpu_events", "mp_state"] { parts[name] = takePart() }
        precondition(bytes.isEmpty, "the section has another form than its documentation says")
    }

    var timeStampCounter: UInt64 { msrs[0x10] ?? 0 }

    /// Whether an interrupt is pending at the local APIC (its request register, Intel SDM volume 3, section 12.8.4).
    func isPending(_ vector: Int) -> Bool { parts["lapic"]![0x200 + vector / 32 * 16 + vector % 32 / 8] >> (vector % 8) & 1 == 1 }
}

extension [DeviceSection] {
    subscript(name: String) -> DeviceSection { first { $0.name == name }! }
    func vcpu(_ index: Int) -> SavedVCPU { SavedVCPU(self["kvm-vcpu-\(index)"]) }
    /// The IOAPIC's redirection table (`struct kvm_ioapic_state` behind both PICs of "kvm-irqchip").
    var redirections: ArraySlice<UInt8> { self["kvm-irqchip"].bytes[1024 + 24..<1024 + 24 + 24 * 8] }
    /// The guest's clock, from "kvm-clock".
    var clock: UInt64 { self["kvm-clock"].bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
}
