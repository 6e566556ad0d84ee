/// Decides, at the end of each round, whether the rest fits into the downtime that was allowed.
public struct RoundPlanner: Hashable, Sendable {
    public enum Verdict: Hashable, Sendable {
        case anotherRound
        case switchOver
    }

    /// What a switch-over costs besides its pages: pausing, the last harvest, device state and two round trips.
    public static let fixedCost: Duration = .milliseconds(5)

    /// A rest that another round would not make smaller: a running kernel always writes a few pages.
    public static let smallestRestPages = 64

    private let downtimeLimit: Duration
    private let smallestRestPages: Int
    /// Bytes a second, smoothed over rounds that were long enough to measure.
    private(set) public var bytesPerSecond: Double?
    /// What the link itself adds: a disk that must be waited for, say.
    private var linkCost: Duration = .zero
    /// The longest harvest so far: the last one happens while the guest is paused.
    private var longestHarvest: Duration = .zero

    public init(downtimeLimit: Duration, smallestRestPages: Int = Self.smallestRestPages) {
        self.downtimeLimit = downtimeLimit
        self.smallestRestPages = smallestRestPages
    }

    /// A round's traffic. Rounds too small to fill the link's buffers say nothing about its rate.
    public mutating func recordRound(bytes: Int, duration: Duration) {
        guard bytes >= 1 << 20, duration > .zero else { return }
        let rate = Double(bytes) / (Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18)
        bytesPerSecond = bytesPerSecond.map { $0 * 0.5 + rate * 0.5 } ?? rate
    }

    public mutating func recordLinkCost(_ duration: Duration) { linkCost = duration }

    public mutating func recordHarvest(_ duration: Duration) { longestHarvest = max(longestHarvest, duration) }

    /// How long the guest would be paused if it were switched over now.
    public func expectedDowntime(pendingPages: Int) -> Duration {
        let rate = bytesPerSecond ?? HeadStart.assumedLinkRate
        let sending = Double(pendingPages) * 4096 / rate
        return .nanoseconds(Int64(min(sending, 1e9) * 1e9)) + longestHarvest + linkCost + Self.fixedCost
    }

    public func decide(pendingPages: Int) -> Verdict {
        pendingPages <= smallestRestPages || expectedDowntime(pendingPages: pendingPages) <= downtimeLimit
            ? .switchOver : .anotherRound
    }
}
