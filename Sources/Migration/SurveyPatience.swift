/// Decides how long to wait for a survey. It works like the head start, but with less patience: a guest that goes on to clear pages that
/// nobody would have sent makes its host populate them.
public struct SurveyPatience: Hashable, Sendable {
    private var pace: AnswerPace
    /// When the waiting began.
    public var start: ContinuousClock.Instant { pace.start }
    /// When it ends at the latest.
    public var end: ContinuousClock.Instant { pace.end }

    /// - Parameters: as `AnswerPace` takes them; `pagesAtStake` is how many pages exist.
    public init(grace: Duration, linkRate: Double?, pagesAtStake: Int = 0, now: ContinuousClock.Instant) {
        pace = AnswerPace(grace: grace, linkRate: linkRate, pagesAtStake: pagesAtStake, endsIdle: true, now: now)
    }

    /// Decides, from what the guest has reported so far, whether the survey goes on.
    public mutating func observe(_ progress: SurveyProgress, now: ContinuousClock.Instant) -> AnswerPace.Verdict {
        if progress.isStopped || progress.keepsContent { return .go(.answered) }
        if progress.isExhausted { return .go(.idle) }
        let answer = AnswerPace.Answer(
            isStarted: progress.isStarted,
            reportedPages: progress.reportedPages,
            usefulPages: progress.clearedPages
        )
        return pace.observe(answer, now: now)
    }
}

/// How far the guest's answer to a survey has come.
public struct SurveyProgress: Hashable, Sendable {
    public var isStarted = false
    public var isStopped = false
    public var reportedPages = 0
    /// Pages that existed and have been cleared.
    public var clearedPages = 0
    /// A block was found with content: the guest does not clear what it hints.
    public var keepsContent = false
    /// The guest has reported many blocks in a row that held nothing that would be sent.
    public var isExhausted = false

    public init() {}

    /// Whether the guest clears what it hints.
    public var clears: Bool { clearedPages > 0 && !keepsContent }
    /// Whether there is nothing more to wait for.
    public var isOver: Bool { isStopped || keepsContent || isExhausted }
}
