import AerostatGuestMemory

/// The total time for which a guest may be paused before commit (rule "the pause has a budget").
///
/// Each step of a switch-over has its own limit. But a peer that falls silent, or takes one frame now and then, could use up all of these
/// limits one after the other while nobody runs the guest. When the budget is spent, the guest resumes at the source.
public struct PauseBudget: Hashable, Sendable {
    /// The budget is this many times the downtime limit, but never less than `least`.
    public static let timesTheLimit = 10
    /// The budget if the downtime limit is short.
    public static let least: Duration = .seconds(5)
    /// The lowest assumed rate, in bytes a second, at which both sides digest every page that exists when they compare memories. Today's
    /// processors are ten times as fast.
    static let verificationBytesPerSecond = 256.0 * 1024 * 1024
    /// Digests of 8 bytes each that take as much of the link as one page.
    static let digestsPerPage = GuestPage.size / 8
    /// A rest that is larger than the limit allows may take this many times as long as the link's rate predicts. This applies only if a
    /// person asked that the timeout pause the guest, so that the rest can be sent.
    static let timesTheRest = 3
    /// The assumed link rate if none was measured, in bytes a second: 1 Mbit/s.
    static let assumedRate = 125_000.0

    /// When the guest was paused.
    let start: ContinuousClock.Instant
    /// How long it may be paused.
    public private(set) var duration: Duration

    init(downtimeLimit: Duration, least: Duration = Self.least, start: ContinuousClock.Instant) {
        self.start = start
        duration = max(least, downtimeLimit * Self.timesTheLimit)
    }

    var end: ContinuousClock.Instant { start + duration }

    /// Adds the time to compare all pages that exist: both sides digest them, and either the digests cross the link or the pages are read
    /// back.
    /// - Parameters:
    ///   - bytesPerSecond: the link's rate, if it was measured.
    ///   - isReadBack: whether the destination is a file, whose pages are read from the disk.
    mutating func addVerification(pages: Int, bytesPerSecond: Double?, isReadBack: Bool) {
        duration += .seconds(1) + Self.time(pages: pages, bytesPerSecond: Self.verificationBytesPerSecond)
        let linkPages = isReadBack ? pages : pages / Self.digestsPerPage + 1
        addRest(pages: linkPages, bytesPerSecond: bytesPerSecond)
    }

    /// Adds the time to send a rest that no limit bounds.
    mutating func addRest(pages: Int, bytesPerSecond: Double?) {
        duration += Self.time(pages: pages, bytesPerSecond: bytesPerSecond ?? Self.assumedRate) * Self.timesTheRest
    }

    private static func time(pages: Int, bytesPerSecond: Double) -> Duration {
        .milliseconds(Int64(min(Double(pages) * Double(GuestPage.size) / max(bytesPerSecond, 1) * 1000, 1e12)))
    }
}
