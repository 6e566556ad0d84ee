/// Decides, at the end of each round, whether to switch over or to send another round.
///
/// The downtime limit is the most that a person accepts, not what they want. So even if the rest fits the limit, the planner sends another
/// round if the previous rounds suggest that less would be left. Those bytes must be sent either way.
public struct RoundPlanner: Hashable, Sendable {
    /// What follows a round.
    public enum Verdict: Hashable, Sendable {
        case anotherRound
        case switchOver
    }

    /// The cost of a switch-over besides its pages: pausing, the last harvest, device state and two round trips.
    public static let fixedCost: Duration = .milliseconds(5)

    /// The cost of a round besides its pages: a harvest and a round trip.
    public static let roundCost: Duration = .milliseconds(1)

    /// Another round would not make a rest of this size smaller, because a running kernel always writes a few pages.
    public static let smallestRestPages = 64

    private let downtimeLimit: Duration
    private let smallestRestPages: Int
    /// Bytes a second, smoothed over rounds that were long enough to measure.
    private(set) public var bytesPerSecond: Double?
    private var measuredBytes = 0
    /// Time that the link itself adds: the wait for a disk, for example.
    private var linkCost: Duration = .zero
    /// The longest harvest so far. It counts because the last harvest happens while the guest is paused.
    private var longestHarvest: Duration = .zero

    public init(downtimeLimit: Duration, smallestRestPages: Int = Self.smallestRestPages) {
        self.downtimeLimit = downtimeLimit
        self.smallestRestPages = smallestRestPages
    }

    /// Learns the link's rate from a round. Rounds too small to fill the link's buffers say nothing about the rate, and a sample weighs
    /// less than a round.
    public mutating func recordRound(bytes: Int, duration: Duration) {
        guard bytes >= 1 << 20, duration > .zero else { return }
        let rate = Double(bytes) / (Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18)
        let weight = max(0.5, Double(bytes) / Double(bytes + measuredBytes))
        bytesPerSecond = bytesPerSecond.map { $0 * (1 - weight) + rate * weight } ?? rate
        measuredBytes = bytes
    }

    /// Records the time that the link itself adds to the downtime.
    public mutating func recordLinkCost(_ duration: Duration) { linkCost = duration }

    /// Records how long a harvest took.
    public mutating func recordHarvest(_ duration: Duration) { longestHarvest = max(longestHarvest, duration) }

    /// How long the guest would be paused if it were switched over now.
    public func expectedDowntime(pendingPages: Int) -> Duration {
        sendingTime(pages: pendingPages) + longestHarvest + linkCost + Self.fixedCost
    }

    /// - Parameters:
    ///   - sentPages: how many pages the round just ended sent while the guest wrote the pending ones.
    ///   - timeLeft: until the timeout, if there is one.
    public func decide(pendingPages: Int, sentPages: Int, timeLeft: Duration? = nil) -> Verdict {
        if pendingPages <= smallestRestPages { return .switchOver }
        if expectedDowntime(pendingPages: pendingPages) > downtimeLimit { return .anotherRound }
        let sending = sendingTime(pages: pendingPages)
        let cost = max(Self.roundCost, longestHarvest + linkCost)
        guard sending > cost, pendingPages <= sentPages / 2 else { return .switchOver }
        // The rest fits now, but the next one may not. So switch over if the timeout could come before the next decision.
        if let timeLeft, (sending + cost) * 2 >= timeLeft { return .switchOver }
        return .anotherRound
    }

    private func sendingTime(pages: Int) -> Duration {
        let seconds = Double(pages) * 4096 / (bytesPerSecond ?? AnswerPace.assumedLinkRate)
        return .nanoseconds(Int64(min(seconds, 1e9) * 1e9))
    }
}
