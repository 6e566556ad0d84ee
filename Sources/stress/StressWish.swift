import AerostatModelGuest
import AerostatQMP

/// Something that is asked of a guest's balloon, before a migration or in its middle.
struct StressWish: CustomStringConvertible {
    enum Kind: Hashable {
        /// The guest shall keep so much of its memory.
        case size(keptBytes: Int)
        /// It shall give statistics every so many seconds; 0 ends that.
        case statistics(seconds: Int)
    }

    let kind: Kind
    /// Since `aerostat migrate` was started; `nil` before that.
    let milliseconds: Int?

    var description: String { "\(kind) " + (milliseconds.map { "after \($0) ms" } ?? "before") }

    var command: (name: String, arguments: [String: JSONValue]) {
        switch kind {
        case .size(let bytes): ("balloon", ["value": .integer(bytes)])
        case .statistics(let seconds):
            (
                "qom-set",
                NewPropertyArguments(path: BalloonObject.name, property: BalloonObject.pollingInterval, value: .integer(seconds)).arguments
            )
        }
    }

    /// The wishes of one migration: at most one of each kind before it, and one in its middle.
    static func some(_ random: inout SplitMix, _ guest: StressShape) -> [StressWish] {
        var wishes: [StressWish] = []
        if random.chance(35) { wishes.append(StressWish(kind: size(&random, guest), milliseconds: nil)) }
        if random.chance(20) { wishes.append(StressWish(kind: .statistics(seconds: random.number(0...2)), milliseconds: nil)) }
        if random.chance(35) { wishes.append(StressWish(kind: size(&random, guest), milliseconds: random.spread(1...1500))) }
        if random.chance(15) {
            wishes.append(StressWish(kind: .statistics(seconds: random.number(0...2)), milliseconds: random.spread(1...1500)))
        }
        return wishes
    }

    private static func size(_ random: inout SplitMix, _ guest: StressShape) -> Kind {
        let maximum = guest.mebibytes << 20
        // The kernel's own account of a page is touched when it goes into the balloon: of a hollow guest that would be gigabytes.
        if guest.isHollow { return .size(keptBytes: maximum - random.spread(1...128) << 20) }
        let perMille =
            switch random.weighted([0: 12, 1: 2, 2: 1]) {
            case 0: random.number(min(guest.used + 50, 900)...1000)
            case 1: random.number(1...1000)
            // More than it has: all of it.
            default: 1250
            }
        return .size(keptBytes: maximum / 1000 * perMille)
    }
}

/// What was last asked of a guest's balloon, and granted.
struct StressWanted {
    private var kept: Int?
    private var seconds: Int? = 0
    private var isKeptKnown = true

    /// The size that the guest shall keep; `nil` where nobody asked, or nobody knows.
    var keptBytes: Int? { isKeptKnown ? kept : nil }
    /// `nil` where nobody knows.
    var pollingSeconds: Int? { seconds }

    mutating func grant(_ kind: StressWish.Kind) {
        switch kind {
        case .size(let bytes): (kept, isKeptKnown) = (bytes, true)
        case .statistics(let seconds): self.seconds = seconds
        }
    }

    /// Whoever was asked has ended before it answered.
    mutating func doubt(_ kind: StressWish.Kind) {
        switch kind {
        case .size: isKeptKnown = false
        case .statistics: seconds = nil
        }
    }
}
