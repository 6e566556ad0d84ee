/// One answer of the CPUID instruction: `kvm_cpuid_entry2` without its padding.
package struct CPUIDEntry: Hashable, Sendable {
    package var function: UInt32
    package var index: UInt32
    /// Bit 0: the index is significant.
    package var flags: UInt32
    package var eax: UInt32
    package var ebx: UInt32
    package var ecx: UInt32
    package var edx: UInt32

    /// KVM_CPUID_FLAG_SIGNIFCANT_INDEX
    package static let significantIndex: UInt32 = 1

    package init(
        function: UInt32,
        index: UInt32 = 0,
        flags: UInt32 = 0,
        eax: UInt32 = 0,
        ebx: UInt32 = 0,
        ecx: UInt32 = 0,
        edx: UInt32 = 0
    ) {
        self.function = function
        self.index = index
        self.flags = flags
        self.eax = eax
        self.ebx = ebx
        self.ecx = ecx
        self.edx = edx
    }
}

extension [CPUIDEntry] {
    func leaf(_ function: UInt32, _ index: UInt32 = 0) -> CPUIDEntry? { first { $0.function == function && $0.index == index } }
}
