/// Decides how long the first round is held back for hints.
///
/// While the guest reports pending pages faster than the link could send them, not sending is the faster way to be done with them.
/// So the sender waits, in windows, until the guest has reported all it has, or the guest has not begun to answer in time, or the grace is
/// over; or until hints come slower than the link for some windows in a row, and all the waiting has taken longer than sending what it
/// spared would have: a guest that was fast may stand still for a while, as where its processor is taken away, and be fast again.
///
/// A survey is waited for in the same way, with less patience: a guest that goes on to clear pages which nobody would have sent
/// makes its host provide them.
public struct HeadStart: Hashable, Sendable {
    public enum Verdict: Hashable, Sendable {
        /// Ask again at this time, or when the guest finishes.
        case wait(until: ContinuousClock.Instant)
        case go(Reason)
    }

    /// Why it is not waited any longer.
    public enum Reason: Hashable, Sendable {
        /// The guest has reported all it had, or shown that its answer helps nobody.
        case answered
        /// Blocks come, and at least half of what they hold would not be sent anyway. Only of a survey.
        case idle
        /// They come slower than the link would send them, or not at all.
        case slow
        case graceIsOver
    }

    /// What is waited for.
    public enum Purpose: Hashable, Sendable {
        /// Hints that take pages out of the round.
        case hints
        /// A guest that clears its free pages before the tracker is armed.
        case survey
    }

    /// How often the rate of hints is looked at.
    public static let window: Duration = .milliseconds(10)
    /// Windows in a row below the link's rate that end the head start. A vCPU that is descheduled for a moment is no slow guest.
    public static let slowWindows = 3
    /// How long a guest may take to begin. A driver that is there answers within a scheduler tick or two.
    public static let answerTime: Duration = .milliseconds(200)
    /// The link's rate before anything was sent, in bytes a second: 10 Gbit/s.
    public static let assumedLinkRate = 1_250_000_000.0
    /// How many pages with data are sent, and acknowledged, to learn the link's rate: 4 MiB. A guest that is slower than 10 Gbit/s is still
    /// worth waiting for on a link of 1 Gbit/s.
    public static let samplePages = 1024

    public let start: ContinuousClock.Instant
    public let end: ContinuousClock.Instant
    private let purpose: Purpose
    private let pagesPerSecond: Double
    private let patience: Duration
    private var windowEnd: ContinuousClock.Instant
    private var pagesAtWindowStart = 0
    private var slow = 0
    /// At the end of the last window that was not slow.
    private var lastFast = HintProgress()

    /// - Parameters:
    ///   - grace: the longest that may be waited.
    ///   - linkRate: bytes a second, where they are known: measured, or the limit that was asked for.
    ///   - pagesAtStake: so many pages might be spared. No guest is slow or idle before a quarter of the time in which they would be sent, at
    ///     most 100 ms, is over: the blocks that it reports first may be ones that never existed.
    public init(
        _ purpose: Purpose = .hints,
        grace: Duration,
        linkRate: Double?,
        pagesAtStake: Int = 0,
        now: ContinuousClock.Instant
    ) {
        self.purpose = purpose
        start = now
        end = now + grace
        pagesPerSecond = (linkRate ?? Self.assumedLinkRate) / 4096
        patience = min(.milliseconds(100), .seconds(Double(pagesAtStake) / pagesPerSecond / 4))
        windowEnd = now + Self.window
    }

    public mutating func observe(_ progress: HintProgress, now: ContinuousClock.Instant) -> Verdict {
        if progress.isOver { return .go(progress.isStopped || progress.keepsContent ? .answered : .idle) }
        if now >= end { return .go(.graceIsOver) }
        guard progress.isStarted else {
            let latest = min(end, start + Self.answerTime)
            windowEnd = now + Self.window
            return now >= latest ? .go(.slow) : .wait(until: latest)
        }
        if now >= windowEnd {
            let isSlow = sendingTime(of: progress.skippedPages - pagesAtWindowStart) < Self.window
            slow = isSlow ? slow + 1 : 0
            if slow == 0 { lastFast = progress }
            if slow >= Self.slowWindows, start.duration(to: now) >= patience {
                let reported = progress.reportedPages - lastFast.reportedPages
                let spared = progress.skippedPages - lastFast.skippedPages
                if purpose == .survey, reported > 0, spared <= reported / 2 { return .go(.idle) }
                if start.duration(to: now) >= sendingTime(of: progress.skippedPages) { return .go(.slow) }
            }
            pagesAtWindowStart = progress.skippedPages
            windowEnd = now + Self.window
        }
        return .wait(until: min(windowEnd, end))
    }

    private func sendingTime(of pages: Int) -> Duration { .seconds(Double(pages) / pagesPerSecond) }
}
