/// When the guest is asked for free-page hints, and for how long the first round may be held back for its answers.
struct HintPolicy: Hashable, Sendable {
    /// A person wants hints, and the guest's driver offers them.
    private let isOffered: Bool
    /// Whether the guest may be one that clears what it hints; see `FreePageSurvey`.
    private let mayClear: Bool
    private let smallestSurveyedPages: Int
    /// `nil` where the link's rate is known before anything is sent.
    private let smallestSampledPages: Int?
    /// A paused guest cannot answer.
    var guestRuns = true
    /// How long the first round, a survey included, has been held back; and how much longer it may be.
    private(set) var heldBack: Duration = .zero
    private(set) var graceLeft: Duration
    /// The guest has cleared its free memory: another hint would cost it more than sending what it has freed since.
    private var hasCleared = false

    init(_ parameters: MigrationParameters, isAvailable: Bool, mayClear: Bool) {
        isOffered = parameters.usesHints && isAvailable
        self.mayClear = mayClear
        smallestSurveyedPages = parameters.smallestSurveyedPages
        smallestSampledPages = parameters.bandwidthLimit == nil ? parameters.smallestSampledPages : nil
        graceLeft = parameters.hintGrace
    }

    /// Whether a round begins with a command.
    var asks: Bool { isOffered && guestRuns && !hasCleared }

    /// Whether the guest is asked once before the tracker is armed.
    /// - Parameter pages: that exist, or, before they are counted, that may exist.
    func surveys(pages: Int) -> Bool { asks && mayClear && graceLeft > .zero && pages >= smallestSurveyedPages }

    /// Whether the link's rate is worth a few pages that a hint might have spared.
    /// - Parameter pages: that exist.
    func samples(pages: Int) -> Bool {
        guard let smallestSampledPages else { return false }
        return asks && graceLeft > .zero && pages >= smallestSampledPages
    }

    mutating func recordHeldBack(_ time: Duration) {
        heldBack += time
        graceLeft = max(.zero, graceLeft - time)
    }

    /// A survey of a guest that clears, or that did not answer, is over.
    mutating func surveyEnded(_ progress: SurveyProgress, _ reason: AnswerPace.Reason) {
        // A guest that did not begin is asked again beside the first round, which does not wait for it.
        if !progress.isStarted { graceLeft = .zero }
        // What a guest that clears has left when it is slow, or the grace is over, it may hint while the rest is sent. What lies behind
        // pages that never existed is given up: to get at it, it would make its host provide them.
        hasCleared = progress.clears && (reason == .answered || reason == .idle)
    }
}
