import CLinux

/// CPUID entries in KVM's format (`struct kvm_cpuid2`): a count, a word of padding, and ten words for each entry.
enum CPUIDTable {
    private static let wordsPerEntry = 10

    static func read(_ request: KVMRequest, from descriptor: borrowing KVMDescriptor) throws(KVMError) -> [CPUIDEntry] {
        var words = [UInt32](repeating: 0, count: 2 + KVM.maximumCPUIDEntries * wordsPerEntry)
        words[0] = UInt32(KVM.maximumCPUIDEntries)
        try descriptor.request(request, words: &words)
        return (0..<min(Int(words[0]), KVM.maximumCPUIDEntries)).map { index in
            let entry = Array(words[(2 + index * wordsPerEntry)...].prefix(7))
            return CPUIDEntry(
                function: entry[0],
                index: entry[1],
                flags: entry[2],
                eax: entry[3],
                ebx: entry[4],
                ecx: entry[5],
                edx: entry[6]
            )
        }
    }

    static func write(_ entries: [CPUIDEntry], with request: KVMRequest, to descriptor: borrowing KVMDescriptor) throws(KVMError) {
        var words = [UInt32(entries.count), 0]
        for entry in entries {
            words += [entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx, entry.edx, 0, 0, 0]
        }
        try descriptor.request(request, words: &words)
    }
}
