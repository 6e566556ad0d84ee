/// How fast a guest answers a hint command, looked at in windows of time, against how fast the link would send the same pages.
///
/// A guest that was fast may stand still for a while, as where its processor is taken away, and be fast again. So it counts as slow only
/// after some slow windows in a row, and not before all the waiting has taken longer than sending what it spared would have.
public struct AnswerPace: Hashable, Sendable {
    /// Whether to wait for the guest's answer any longer.
    public enum Verdict: Hashable, Sendable {
        /// Ask again at this time, or when the guest finishes.
        case wait(until: ContinuousClock.Instant)
        case go(Reason)
    }

    /// Why the waiting ends.
    public enum Reason: Hashable, Sendable {
        /// The guest has reported all it had, or shown that its answer helps nobody.
        case answered
        /// Blocks come, and at least half of what they hold would not be sent anyway. Only of a survey.
        case idle
        /// They come slower than the link would send them, or not at all.
        case slow
        case graceIsOver
    }

    /// What the guest has said so far, in pages.
    struct Answer: Hashable, Sendable {
        var isStarted = false
        var reportedPages = 0
        /// Of these, the ones that would have been sent.
        var usefulPages = 0
    }

    /// How often the rate of answers is looked at.
    public static let window: Duration = .milliseconds(10)
    /// Windows in a row below the link's rate that make a guest slow. A vCPU that is descheduled for a moment is no slow guest.
    public static let slowWindows = 3
    /// How long a guest may take to begin. A driver that is there answers within a scheduler tick or two.
    public static let answerTime: Duration = .milliseconds(200)
    /// The link's rate before anything was sent, in bytes a second: 10 Gbit/s.
    public static let assumedLinkRate = 1_250_000_000.0
    /// The longest patience with a guest that seems slow at first.
    static let longestPatience: Duration = .milliseconds(100)

    let start: ContinuousClock.Instant
    let end: ContinuousClock.Instant
    private let pagesPerSecond: Double
    private let patience: Duration
    private let endsIdle: Bool
    private var windowEnd: ContinuousClock.Instant
    private var usefulAtWindowStart = 0
    private var slow = 0
    /// At the end of the last window that was not slow.
    private var lastFast = Answer()

    /// - Parameters:
    ///   - grace: the longest that may be waited.
    ///   - linkRate: bytes a second, where they are known: measured, or the limit that was asked for.
    ///   - pagesAtStake: as many pages may be spared. No guest is slow or idle before a quarter of the time in which they are sent, at
    ///     most `longestPatience`, is over: the blocks that it reports first may be ones that never existed.
    ///   - endsIdle: whether a guest is left that reports mostly pages which nobody would have sent.
    init(grace: Duration, linkRate: Double?, pagesAtStake: Int = 0, endsIdle: Bool = false, now: ContinuousClock.Instant) {
        start = now
        end = now + grace
        pagesPerSecond = (linkRate ?? Self.assumedLinkRate) / 4096
        patience = min(Self.longestPatience, .seconds(Double(pagesAtStake) / pagesPerSecond / 4))
        self.endsIdle = endsIdle
        windowEnd = now + Self.window
    }

    mutating func observe(_ answer: Answer, now: ContinuousClock.Instant) -> Verdict {
        if now >= end { return .go(.graceIsOver) }
        guard answer.isStarted else {
            let latest = min(end, start + Self.answerTime)
            windowEnd = now + Self.window
            return now >= latest ? .go(.slow) : .wait(until: latest)
        }
        if now >= windowEnd {
            if let reason = endWindow(answer, now: now) { return .go(reason) }
            usefulAtWindowStart = answer.usefulPages
            windowEnd = now + Self.window
        }
        return .wait(until: min(windowEnd, end))
    }

    private mutating func endWindow(_ answer: Answer, now: ContinuousClock.Instant) -> Reason? {
        let isSlow = sendingTime(of: answer.usefulPages - usefulAtWindowStart) < Self.window
        slow = isSlow ? slow + 1 : 0
        if slow == 0 { lastFast = answer }
        let waited = start.duration(to: now)
        guard slow >= Self.slowWindows, waited >= patience else { return nil }
        let reported = answer.reportedPages - lastFast.reportedPages
        let useful = answer.usefulPages - lastFast.usefulPages
        if endsIdle, reported > 0, useful <= reported / 2 { return .idle }
        return waited >= sendingTime(of: answer.usefulPages) ? .slow : nil
    }

    private func sendingTime(of pages: Int) -> Duration { .seconds(Double(pages) / pagesPerSecond) }
}
