// The topology (one package, one thread in each core), and the sizes of extended state.
extension CPUIDPolicy {
    /// How many bits number the vCPUs.
    var identifierBits: UInt32 { UInt32(Int.bitWidth - (vcpus - 1).leadingZeroBitCount) }
    /// How many numbers those bits have.
    var identifierSpan: UInt32 { 1 << identifierBits }

    /// How many vCPUs share a cache, minus one. All share the last level.
    func sharing(ofLevel level: UInt32) -> UInt32 { level >= 3 ? identifierSpan - 1 : 0 }

    /// Leaf 0xB, if the processor has one: threads, then cores.
    func topologyEntries(_ vcpu: Int) -> [CPUIDEntry] {
        guard let last = supported.leaf(0)?.eax, last >= 0xB else { return [] }
        let (thread, core): (UInt32, UInt32) = (1, 2)
        return [(bits: 0, count: 1, kind: thread), (identifierBits, UInt32(vcpus), core), (0, 0, 0)].enumerated().map { index, level in
            CPUIDEntry(
                function: 0xB,
                index: UInt32(index),
                flags: CPUIDEntry.significantIndex,
                eax: level.bits,
                ebx: level.count,
                ecx: level.kind << 8 | UInt32(index),
                edx: UInt32(vcpu)
            )
        }
    }

    // MARK: Extended state (Intel SDM volume 1, chapter 13)

    /// The visible components, one bit each.
    private var stateComponents: UInt32 {
        CPUIDFeatures.all.first { $0.function == 0xD && $0.index == 0 }.map { (supported.leaf(0xD)?.eax ?? 0) & $0.visible } ?? 0
    }

    /// Leaf 0xD has a subleaf for each component after the second. A hidden feature hides its component too.
    func isVisibleComponent(_ entry: CPUIDEntry) -> Bool {
        guard entry.function == 0xD, entry.index >= 2 else { return entry.function != 0xB }
        return entry.index < 32 && stateComponents >> entry.index & 1 == 1
    }

    /// The size of the legacy area and the header.
    private static let stateHeaderBytes: UInt32 = 512 + 64

    /// How many bytes all components take in the standard format.
    var stateBytes: UInt32 { components.map { $0.ebx + $0.eax }.max().map { max($0, Self.stateHeaderBytes) } ?? Self.stateHeaderBytes }

    /// How many bytes they take in the compacted format, one after the other.
    var compactStateBytes: UInt32 {
        let isAligned: UInt32 = 1 << 1
        return components.reduce(Self.stateHeaderBytes) { bytes, component in
            (component.ecx & isAligned != 0 ? (bytes + 63) & ~63 : bytes) + component.eax
        }
    }

    private var components: [CPUIDEntry] {
        (2..<32).compactMap { index in supported.leaf(0xD, index).flatMap { isVisibleComponent($0) ? $0 : nil } }
    }
}

extension CPUIDEntry {
    /// Whether this is one of the subleaves of 0xD that list further features and states.
    var isStateList: Bool { function == 0xD && index <= 1 }
}
