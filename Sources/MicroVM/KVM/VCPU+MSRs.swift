import CLinux

/// A model-specific register and its value.
struct MSR: Hashable, Sendable {
    let index: UInt32
    let value: UInt64

    static let timeStampCounter: UInt32 = 0x10
    /// IA32_TSC_DEADLINE
    static let deadline: UInt32 = 0x6E0
}

// Model-specific registers, as KVM takes and gives them (`struct kvm_msrs`): a count, a word of padding, and for each the index, a word
// of padding, and the value in two words.
extension VCPU {
    /// The values of those that can be read.
    func readMSRs(_ indices: [UInt32]) throws(KVMError) -> [MSR] {
        var found: [MSR] = []
        var left = indices[...]
        while !left.isEmpty {
            var words: [UInt32] = [UInt32(left.count), 0]
            for index in left { words += [index, 0, 0, 0] }
            let count = try descriptor.request(KVMRequest("KVM_GET_MSRS", aerostat_kvm_get_msrs), words: &words)
            for number in 0..<count {
                let entry = words[(2 + 4 * number)...].prefix(4)
                let first = entry.startIndex
                found.append(MSR(index: entry[first], value: UInt64(entry[first + 2]) | UInt64(entry[first + 3]) << 32))
            }
            // KVM stops at the first that it cannot read: this processor does not have it.
            left = left.dropFirst(count + 1)
        }
        return found
    }

    /// Sets a register.
    /// - Returns: false where it cannot be set to that.
    func setMSR(_ index: UInt32, _ value: UInt64) throws(KVMError) -> Bool {
        var words = [1, 0, index, 0, UInt32(truncatingIfNeeded: value), UInt32(truncatingIfNeeded: value >> 32)]
        return try descriptor.request(KVMRequest("KVM_SET_MSRS", aerostat_kvm_set_msrs), words: &words) == 1
    }
}
