/// Decides when to ask the guest for free-page hints, and how long the first round may be held back for its answers.
struct HintPolicy: Hashable, Sendable {
    /// Whether a person wants hints and the guest's driver offers them.
    private let isOffered: Bool
    /// Whether the guest may clear what it hints; see `FreePageSurvey`.
    private let mayClear: Bool
    private let smallestSurveyedPages: Int
    /// `nil` if the link's rate is known before anything is sent.
    private let smallestSampledPages: Int?
    /// A paused guest cannot answer.
    var guestRuns = true
    /// How long the first round, including a survey, has been held back; and how much longer it may be.
    private(set) var heldBack: Duration = .zero
    private(set) var graceLeft: Duration
    /// The guest has cleared its free memory. Another command would cost it more than sending what it has freed since.
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
    /// - Parameter pages: the pages that exist or, before they are counted, the pages that may exist.
    func surveys(pages: Int) -> Bool { asks && mayClear && graceLeft > .zero && pages >= smallestSurveyedPages }

    /// Whether to send a sample to measure the link's rate, although hints might have spared its pages.
    /// - Parameter pages: the pages that exist.
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
        // A guest that did not begin to answer is asked again during the first round, which does not wait for it.
        if !progress.isStarted { graceLeft = .zero }
        // If a guest that clears was slow or the grace ended, it may hint its remaining blocks while the rest is sent. If the survey ended
        // idle, its remaining blocks are given up: to reach them, the guest would first clear pages that never existed, and its host would
        // have to populate those.
        hasCleared = progress.clears && (reason == .answered || reason == .idle)
    }
}
