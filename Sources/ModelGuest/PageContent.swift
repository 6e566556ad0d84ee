import AerostatGuestMemory

/// The content of a used page: 512 words that follow from the guest's seed, the frame, and how often it was rewritten.
///
/// Word i is the splitmix64 of a counter (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). So the content does
/// not compress, no two frames or generations are equal anywhere, and every word can be recomputed on its own.
struct PageContent {
    /// A word with an unexpected value.
    struct Difference: Hashable, Sendable {
        let word: Int
        let expected: UInt64
        let found: UInt64
    }

    static let wordCount = GuestPage.size / 8
    private static let golden: UInt64 = 0x9E37_79B9_7F4A_7C15
    private let start: UInt64

    init(seed: UInt64, frame: Int, generation: UInt32) {
        start = Self.mix(seed &+ Self.golden &* (UInt64(frame) << 32 | UInt64(generation)))
    }

    /// The finaliser of splitmix64: a bijection of 64-bit words.
    @inline(__always)
    static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    @inline(__always)
    private func word(_ index: Int) -> UInt64 { Self.mix(start &+ Self.golden &* UInt64(truncatingIfNeeded: index)) }

    /// - Parameter page: 4096 writable bytes, page aligned.
    func fill(_ page: UnsafeMutableRawPointer) {
        for index in 0..<Self.wordCount {
            unsafe page.storeBytes(of: word(index), toByteOffset: index &* 8, as: UInt64.self)
        }
    }

    /// - Parameter page: 4096 readable bytes, page aligned.
    func firstDifference(_ page: UnsafeRawPointer) -> Difference? {
        // Compares eight words at a time without a branch. Finds out which one differs only if one does.
        var index = 0
        while index < Self.wordCount {
            var difference: UInt64 = 0
            for word in index..<index &+ 8 {
                difference |= unsafe page.load(fromByteOffset: word &* 8, as: UInt64.self) ^ self.word(word)
            }
            if difference != 0 { break }
            index &+= 8
        }
        while index < Self.wordCount {
            let found = unsafe page.load(fromByteOffset: index &* 8, as: UInt64.self)
            if found != word(index) { return Difference(word: index, expected: word(index), found: found) }
            index &+= 1
        }
        return nil
    }
}

/// The model kernel's random numbers: splitmix64. Its whole state is one word in guest RAM.
package struct SplitMix: RandomNumberGenerator {
    package var state: UInt64

    package init(state: UInt64) { self.state = state }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return PageContent.mix(state)
    }
}
