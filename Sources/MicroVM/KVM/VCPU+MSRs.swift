import CLinux

/// A model-specific register and its value.
struct MSR: Hashable, Sendable {
    let index: UInt32
    let value: UInt64

    static let timeStampCounter: UInt32 = 0x10
    /// IA32_TSC_ADJUST
    static let timeStampAdjustment: UInt32 = 0x3B
    /// IA32_TSC_DEADLINE
    static let deadline: UInt32 = 0x6E0
    /// MTRRs, which KVM keeps but does not name: the default type, those of fixed ranges, and eight pairs of base and mask.
    static let memoryTypes: [UInt32] = [0x2FF, 0x250, 0x258, 0x259] + Array(0x268...0x26F) + Array(0x200...0x20F)
    /// Registers of features that `CPUIDPolicy` hides: Hyper-V, performance counters (with their capabilities), VMX, processor trace. A
    /// host's values there say nothing about what a guest needs.
    static let hidden: [ClosedRange<UInt32>] = [
        0x4000_0000...0x4000_01FF, 0xC1...0xC8, 0x186...0x18D, 0x309...0x30C, 0x345...0x345, 0x38D...0x390, 0x3F1...0x3F6, 0x4C1...0x4C8,
        0x480...0x491, 0x560...0x58F, 0x600...0x600, 0xC001_0200...0xC001_020B, 0xC000_0300...0xC000_0302,
    ]
}

// Model-specific registers in KVM's format (`struct kvm_msrs`): a count, a word of padding, and for each register its index, a word of
// padding, and its value in two words.
extension VCPU {
    /// How many fit one request (MAX_IO_MSRS is 256).
    private static let maximumMSRs = 200

    /// Reads the registers that can be read: a processor does not have all of them.
    func readMSRs(_ indices: [UInt32]) throws(KVMError) -> [MSR] {
        try exchange(KVMRequest("KVM_GET_MSRS", aerostat_kvm_get_msrs), indices.map { MSR(index: $0, value: 0) }).taken
    }

    /// Sets registers in this order.
    /// - Returns: the registers that do not accept their value.
    func setMSRs(_ msrs: [MSR]) throws(KVMError) -> [MSR] {
        try exchange(KVMRequest("KVM_SET_MSRS", aerostat_kvm_set_msrs), msrs).refused
    }

    /// KVM stops at the first register that it refuses. The next request begins after it.
    private func exchange(_ request: KVMRequest, _ msrs: [MSR]) throws(KVMError) -> (taken: [MSR], refused: [MSR]) {
        var (taken, refused): ([MSR], [MSR]) = ([], [])
        var left = msrs[...]
        while !left.isEmpty {
            let part = left.prefix(Self.maximumMSRs)
            var words: [UInt32] = [UInt32(part.count), 0]
            for msr in part { words += [msr.index, 0, UInt32(truncatingIfNeeded: msr.value), UInt32(truncatingIfNeeded: msr.value >> 32)] }
            let count = try descriptor.request(request, words: &words)
            for first in stride(from: 2, to: 2 + 4 * count, by: 4) {
                taken.append(MSR(index: words[first], value: UInt64(words[first + 2]) | UInt64(words[first + 3]) << 32))
            }
            left = left.dropFirst(count)
            if count < part.count { refused.append(left.removeFirst()) }
        }
        return (taken, refused)
    }
}
