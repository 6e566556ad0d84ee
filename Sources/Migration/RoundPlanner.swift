/// Decides, at the end of each round, whether the rest is switched over.
///
/// The limit is the most that a person accepts, and not what they want: a rest that fits is still sent while the guest runs where the
/// rounds say that less would then be left, because those bytes travel either way.
public struct RoundPlanner: Hashable, Sendable {
    /// What follows a round.
    public enum Verdict: Hashable, Sendable {
        case anotherRound
        case switchOver
    }

    /// What a switch-over costs besides its pages: pausing, the last harvest, device state and two round trips.
    public static let fixedCost: Duration = .milliseconds(5)

    /// What a round costs beside its pages: a harvest and a round trip.
    public static let roundCost: Duration = .milliseconds(1)

    /// A rest that another round would not make smaller: a running kernel always writes a few pages.
    public static let smallestRestPages = 64

    private let downtimeLimit: Duration
    private let smallestRestPages: Int
    /// Bytes a second, smoothed over rounds that were long enough to measure.
    private(set) public var bytesPerSecond: Double?
    private var measuredBytes = 0
    /// What the link itself adds: a disk that must be waited for, say.
    private var linkCost: Duration = .zero
    /// The longest harvest so far: the last one happens while the guest is paused.
    private var longestHarvest: Duration = .zero

    public init(downtimeLimit: Duration, smallestRestPages: Int = Self.smallestRestPages) {
        self.downtimeLimit = downtimeLimit
        self.smallestRestPages = smallestRestPages
    }

    /// A round's traffic. Rounds too small to fill the link's buffers say nothing about its rate, and a sample says less than a round.
    public mutating func recordRound(bytes: Int, duration: Duration) {
        guard bytes >= 1 << 20, duration > .zero else { return }
        let rate = Double(bytes) / (Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18)
        let weight = max(0.5, Double(bytes) / Double(bytes + measuredBytes))
        bytesPerSecond = bytesPerSecond.map { $0 * (1 - weight) + rate * weight } ?? rate
        measuredBytes = bytes
    }

    /// Takes note of what the link itself adds to the downtime.
    public mutating func recordLinkCost(_ duration: Duration) { linkCost = duration }

    /// Takes note of how long a harvest took.
    public mutating func recordHarvest(_ duration: Duration) { longestHarvest = max(longestHarvest, duration) }

    /// How long the guest would be paused if it were switched over now.
    public func expectedDowntime(pendingPages: Int) -> Duration {
        sendingTime(pages: pendingPages) + longestHarvest + linkCost + Self.fixedCost
    }

    /// - Parameters:
    ///   - sentPages: how many the round that has ended sent, while the pending ones were written.
    ///   - timeLeft: until the timeout, where there is one.
    public func decide(pendingPages: Int, sentPages: Int, timeLeft: Duration? = nil) -> Verdict {
        if pendingPages <= smallestRestPages { return .switchOver }
        if expectedDowntime(pendingPages: pendingPages) > downtimeLimit { return .anotherRound }
        let sending = sendingTime(pages: pendingPages)
        let cost = max(Self.roundCost, longestHarvest + linkCost)
        guard sending > cost, pendingPages <= sentPages / 2 else { return .switchOver }
        // It fits now; nobody knows whether what is then left would, so the timeout must not come before another look.
        if let timeLeft, (sending + cost) * 2 >= timeLeft { return .switchOver }
        return .anotherRound
    }

    private func sendingTime(pages: Int) -> Duration {
        let seconds = Double(pages) * 4096 / (bytesPerSecond ?? AnswerPace.assumedLinkRate)
        return .nanoseconds(Int64(min(seconds, 1e9) * 1e9))
    }
}
