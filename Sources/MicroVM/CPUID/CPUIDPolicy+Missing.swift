extension CPUIDPolicy {
    /// What a guest would lose on another host. Used to refuse the guest before any memory moves.
    /// - Parameters:
    ///   - required: what its vCPUs see. Foreign input.
    ///   - offered: what they could see on the other host, `entries(vcpu:)` of its policy.
    /// - Returns: names of features, as in Linux's /proc/cpuinfo. Empty if the guest can move.
    package static func missing(required: [CPUIDEntry], offered: [CPUIDEntry]) -> [String] {
        var result: [String] = []
        func vendor(_ entries: [CPUIDEntry]) -> [UInt32] { entries.leaf(0).map { [$0.ebx, $0.edx, $0.ecx] } ?? [] }
        if vendor(required) != vendor(offered) { result.append("a processor of the same maker (\(text(vendor(required))))") }
        for features in CPUIDFeatures.all {
            let needed = required.leaf(features.function, features.index)?[keyPath: features.register] ?? 0
            let present = offered.leaf(features.function, features.index)?[keyPath: features.register] ?? 0
            let lacking = needed & ~present
            result += (0..<32).filter { lacking >> $0 & 1 == 1 }.map(features.name)
        }
        for entry in required where entry.function == 0xD && (2..<32).contains(entry.index) {
            guard let other = offered.leaf(0xD, entry.index) else { continue }  // its feature bit tells
            if (entry.eax, entry.ebx) != (other.eax, other.ebx) { result.append("the same place for extended state \(entry.index)") }
        }
        func addressBits(_ entries: [CPUIDEntry]) -> UInt32 { (entries.leaf(0x8000_0008)?.eax ?? 36) & 0xFF }
        if addressBits(required) > addressBits(offered) { result.append("\(addressBits(required))-bit physical addresses") }
        // AMD repeats features of leaf 1 in another leaf.
        var seen: Set<String> = []
        return result.filter { seen.insert($0).inserted }
    }

    /// The characters that registers hold. Bytes that are not letters are left out.
    private static func text(_ registers: [UInt32]) -> String {
        let bytes = registers.flatMap { register in (0..<4).map { UInt8(truncatingIfNeeded: register >> ($0 * 8)) } }
        return String(decoding: bytes.filter { (0x20..<0x7F).contains($0) }, as: UTF8.self)
    }
}
