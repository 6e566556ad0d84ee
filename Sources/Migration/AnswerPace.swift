/// Compares, window by window, how fast a guest answers a hint command with how fast the link would send the same pages.
///
/// A fast guest may stall for a while, for example because its vCPU was descheduled, and then be fast again. So it counts as slow only
/// after several slow windows in a row, and only once the whole wait has taken longer than sending the spared pages would have.
public struct AnswerPace: Hashable, Sendable {
    /// Whether to wait longer for the guest's answer.
    public enum Verdict: Hashable, Sendable {
        /// Observe again at this time, or when the guest finishes.
        case wait(until: ContinuousClock.Instant)
        case go(Reason)
    }

    /// Why the wait ends.
    public enum Reason: Hashable, Sendable {
        /// The guest has reported everything, or has shown that its answer does not help.
        case answered
        /// Blocks come, but at least half of their pages would not be sent anyway. Only a survey ends for this reason.
        case idle
        /// Blocks come slower than the link would send them, or not at all.
        case slow
        case graceIsOver
    }

    /// What the guest has reported so far, in pages.
    struct Answer: Hashable, Sendable {
        var isStarted = false
        var reportedPages = 0
        /// Of these, the pages that would have been sent.
        var usefulPages = 0
    }

    /// How often the rate of answers is measured.
    public static let window: Duration = .milliseconds(10)
    /// A guest is slow after this many windows in a row below the link's rate. A vCPU that is descheduled for a moment does not make a
    /// guest slow.
    public static let slowWindows = 3
    /// How long a guest may take to begin. A driver that listens answers within a scheduler tick or two.
    public static let answerTime: Duration = .milliseconds(200)
    /// The assumed link rate before anything was sent, in bytes a second: 10 Gbit/s.
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
    /// The answer at the end of the last window that was not slow.
    private var lastFast = Answer()

    /// - Parameters:
    ///   - grace: the longest time to wait.
    ///   - linkRate: bytes a second, if known: measured, or the bandwidth limit.
    ///   - pagesAtStake: how many pages hints may spare. A guest does not count as slow or idle before a quarter of the time to send these
    ///     pages has passed, at most `longestPatience`, because the blocks that it reports first may never have existed.
    ///   - endsIdle: whether the wait ends if the guest reports mostly pages that nobody would have sent.
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
