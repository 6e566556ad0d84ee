/// Decides how long the first round is held back for hints.
///
/// While the guest reports pending pages faster than the link could send them, not sending is the faster way to be done with them.
/// So the sender waits until the guest has reported all it has, or has not begun to answer in time, or the grace is over, or hints come
/// slower than the link (see `AnswerPace`).
public struct HeadStart: Hashable, Sendable {
    /// How many pages with data are sent, and acknowledged, to learn the link's rate: 4 MiB. A guest that is slower than 10 Gbit/s is still
    /// worth waiting for on a link of 1 Gbit/s.
    public static let samplePages = 1024

    private var pace: AnswerPace
    /// When the waiting began.
    public var start: ContinuousClock.Instant { pace.start }

    /// - Parameters:
    ///   - grace: the longest that may be waited.
    ///   - linkRate: bytes a second, where they are known: measured, or the limit that was asked for.
    public init(grace: Duration, linkRate: Double?, now: ContinuousClock.Instant) {
        pace = AnswerPace(grace: grace, linkRate: linkRate, now: now)
    }

    /// Looks at what the guest has reported by now, and decides whether the first round goes on waiting.
    public mutating func observe(_ progress: HintProgress, now: ContinuousClock.Instant) -> AnswerPace.Verdict {
        if progress.isStopped { return .go(.answered) }
        let answer = AnswerPace.Answer(
            isStarted: progress.isStarted,
            reportedPages: progress.reportedPages,
            usefulPages: progress.clearedPages
        )
        return pace.observe(answer, now: now)
    }
}
