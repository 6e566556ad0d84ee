/// Decides how long the first round is held back for hints.
///
/// While the guest reports pending pages faster than the link could send them, waiting gets rid of them faster than sending. So the sender
/// waits until the guest has reported everything, has not begun to answer in time, the grace is over, or hints come slower than the link
/// could send (see `AnswerPace`).
public struct HeadStart: Hashable, Sendable {
    /// How many pages with data are sent, and acknowledged, to measure the link's rate: 4 MiB. Measuring matters: a guest that answers
    /// slower than 10 Gbit/s is still worth waiting for on a link of 1 Gbit/s.
    public static let samplePages = 1024

    private var pace: AnswerPace
    /// When the waiting began.
    public var start: ContinuousClock.Instant { pace.start }

    /// - Parameters:
    ///   - grace: the longest time to wait.
    ///   - linkRate: bytes a second, if known: measured, or the bandwidth limit.
    public init(grace: Duration, linkRate: Double?, now: ContinuousClock.Instant) {
        pace = AnswerPace(grace: grace, linkRate: linkRate, now: now)
    }

    /// Decides, from what the guest has reported so far, whether the first round waits longer.
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
