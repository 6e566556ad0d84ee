import Foundation

/// Random numbers from a seed (SplitMix64), the same on every machine: a failure that prints its seed can be replayed.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    /// A fresh seed, printed, or the one in `AEROSTAT_SEED`.
    package static func forTest(_ name: String = #function) -> SeededGenerator {
        let seed = ProcessInfo.processInfo.environment["AEROSTAT_SEED"].flatMap { UInt64($0) } ?? .random(in: 0 ... .max)
        print("\(name): AEROSTAT_SEED=\(seed)")
        return SeededGenerator(seed: seed)
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
