import AerostatGuestMemory

/// How long a guest may stand still before commit, in all (rule "the pause has a budget").
///
/// Each step of a switch-over has a limit of its own, but a peer that falls silent, or takes one frame now and then, could use them
/// all up, one after the other, while nobody runs the guest. Past the budget the guest goes on at the source.
public struct PauseBudget: Hashable, Sendable {
    /// The budget for a downtime limit: so many times the limit, and never less than `least`.
    public static let timesTheLimit = 10
    /// The budget where the downtime limit is short.
    public static let least: Duration = .seconds(5)
    /// Both sides digest every page that exists when the two memories are compared: so fast at least, in bytes a second. Processors of
    /// today do ten times that.
    static let verificationBytesPerSecond = 256.0 * 1024 * 1024
    /// Digests of 8 bytes each that take as much of the link as one page.
    static let digestsPerPage = GuestPage.size / 8
    /// A rest that is larger than the limit allows may take so many times as long as the link's rate says. Only where a person asked for
    /// that: the timeout pauses the guest so that the rest gets across.
    static let timesTheRest = 3
    /// The link's rate where nothing was measured, in bytes a second: 1 Mbit/s.
    static let assumedRate = 125_000.0

    /// When the guest was paused.
    let start: ContinuousClock.Instant
    /// How long it may stand still.
    public private(set) var duration: Duration

    init(downtimeLimit: Duration, least: Duration = Self.least, start: ContinuousClock.Instant) {
        self.start = start
        duration = max(least, downtimeLimit * Self.timesTheLimit)
    }

    var end: ContinuousClock.Instant { start + duration }

    /// Adds what it takes to compare all pages that exist: both sides digest them, and the digests cross the link, or the pages are read
    /// back.
    /// - Parameters:
    ///   - bytesPerSecond: the link's rate, where it was measured.
    ///   - isReadBack: whether the destination is a file, whose pages are read from the disk.
    mutating func addVerification(pages: Int, bytesPerSecond: Double?, isReadBack: Bool) {
        duration += .seconds(1) + Self.time(pages: pages, bytesPerSecond: Self.verificationBytesPerSecond)
        let linkPages = isReadBack ? pages : pages / Self.digestsPerPage + 1
        addRest(pages: linkPages, bytesPerSecond: bytesPerSecond)
    }

    /// Adds what it takes to send a rest that no limit bounds.
    mutating func addRest(pages: Int, bytesPerSecond: Double?) {
        duration += Self.time(pages: pages, bytesPerSecond: bytesPerSecond ?? Self.assumedRate) * Self.timesTheRest
    }

    private static func time(pages: Int, bytesPerSecond: Double) -> Duration {
        .milliseconds(Int64(min(Double(pages) * Double(GuestPage.size) / max(bytesPerSecond, 1) * 1000, 1e12)))
    }
}
