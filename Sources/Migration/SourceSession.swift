import AerostatGuestMemory
import AerostatHost

/// The source's side of a migration as a state machine: an event goes in, the effects to perform come out, in order.
///
/// It touches no thread, descriptor or guest. `SourceDriver` performs the effects and feeds back what happened.
///
/// ```
///  greeting -> counting -> surveying -> releasing -> settingUp -> sampling -> headStart
///                                                                                 |
///     +---------------------------------------------------------------------------+
///     v
///  sending -> syncing -> switchingOver (`StopAndCopy`) -> over
///     ^          |
///     +----------+ next round
/// ```
///
/// A failure before commit leads to `over` and resumes the guest here. A failure after commit leaves the guest paused, because the
/// destination may run it (rule "one owner").
///
/// Three values hold its policies: `HintPolicy` says when to ask the guest for hints, `RoundPlanner` when to send another round, and
/// `StopAndCopy` how to switch the guest over.
public struct SourceSession: Sendable {
    /// Something that happened on the link or in the guest, or a time that came.
    public enum Event: Hashable, Sendable {
        /// The link is open. `guestRuns`: whether the guest runs now.
        case start(guestRuns: Bool)
        case peerHello(Hello)
        /// The pages that exist were counted.
        case counted(presentPages: Int)
        case surveyProgress(SurveyProgress)
        /// The guest has taken its blocks back, or does not answer.
        case released
        /// The tracker is armed and the pages that exist are pending.
        case setUp(absentPages: Int)
        case hintProgress(HintProgress)
        /// All pending pages were handed to the link.
        case roundSent(RoundTraffic)
        /// What was sent before a round, or the rest, was interrupted. The event that interrupted it follows.
        case roundInterrupted(RoundTraffic)
        /// The pages that were written are pending again.
        case harvested(dirtied: Int, pending: Int, took: Duration)
        /// The guest is paused. `guestRan`: whether it ran until now; a person may have paused it meanwhile.
        case paused(guestRan: Bool)
        case restSent(RoundTraffic)
        case peerReady(Ready)
        case commitSent
        case peerRunning

        case cancelRequested
        case timeoutReached
        /// `pauseDeadline` has passed.
        case pauseBudgetSpent
        case failed(Failure)
    }

    /// What the driver does next. An effect that leads to no event is done when it returns; the driver then performs the next one.
    public enum Effect: Hashable, Sendable {
        case sendHello(Hello)
        /// Count the pages that exist: `.counted`.
        case countPages
        /// Publish a hint command whose hints are not trusted: see `FreePageSurvey`.
        case openSurvey
        /// Feed `.surveyProgress` at this time, or earlier if the guest finishes its answer.
        case waitForSurvey(until: ContinuousClock.Instant)
        /// Tell the guest to take its blocks back, and wait until it has heard: `.released`.
        case releaseBlocks(until: ContinuousClock.Instant)
        /// Arm the tracker, then make the pages that exist pending: `.setUp`. `recordsCleared`: the guest has cleared the pages that it
        /// reported in the survey, and the ledger records them.
        case setUp(recordsCleared: Bool)
        /// Publish a fresh command id, with the ledger open for it.
        case openHints
        /// Close the device's command and the ledger. On return no hint is being applied.
        case closeHints
        /// Tell the guest to take its blocks back.
        case finishHints
        case beginRound(Int)
        /// Feed `.hintProgress` at this time, or earlier if the guest finishes its answer.
        case waitForHints(until: ContinuousClock.Instant)
        /// Send what is pending, then tell the destination which pages are free: `.roundSent`.
        case sendRound(Int)
        /// Send this many pages of data to measure the link's rate: `.roundSent`.
        case sendSample(Int, pages: Int)
        case harvest
        case pauseGuest
        /// Send the pages that are still pending, at full speed: `.restSent`.
        case sendRest(round: Int)
        /// Send device state, digests if verification was asked for, and the switchover; then wait for ready: `.peerReady`.
        case sendState(verifies: Bool, guestRuns: Bool)
        case sendCommit
        case awaitRunning
        case resumeGuest
        case sendAbort(String)
        case disarm
        case finish(Outcome)
    }

    /// What a round has sent.
    public struct RoundTraffic: Hashable, Sendable {
        public var bytes = 0
        public var normalPages = 0
        public var zeroPages = 0
        public var freePages = 0
        /// Pending pages that hints cleared in the round.
        public var clearedPages = 0
        /// Pages pending at the round's end.
        public var pendingPages = 0
        public var duration: Duration = .zero
        /// Time that the link adds to the downtime, besides sending.
        public var linkCost: Duration = .zero

        public init() {}
    }

    /// How the migration ended.
    public enum Outcome: Hashable, Sendable {
        /// The destination runs the guest (or holds it paused, as it was here).
        case completed
        /// The guest stays here, as it was.
        case cancelled(String)
        case failed(Failure)
        /// Commit was sent but `running` was not received: the guest stays paused here.
        case unknown(String)
    }

    enum State: Hashable, Sendable {
        case idle, greeting, counting
        case surveying(SurveyPatience)
        case releasing(since: ContinuousClock.Instant)
        case settingUp, sampling
        case headStart(HeadStart)
        case sending, syncing
        case switchingOver(StopAndCopy)
        case over
    }

    public let parameters: MigrationParameters
    let hello: Hello
    let isDisk: Bool
    var state = State.idle
    /// The round under way; 1 is the first.
    public internal(set) var round = 0
    /// Whether the guest ran when the migration began.
    var runsAtStart = true
    /// Whether the guest was asked for hints or the tracker was armed, so that backing out must undo it.
    var hasBegun = false
    var hints: HintPolicy
    public internal(set) var planner: RoundPlanner
    /// The link's rate in an interrupted round, in bytes a second.
    var interruptedRate: Double?
    /// The report so far. The driver adds the counters that live in the ledger and the link.
    public internal(set) var report = MigrationReport()
    let startTime: ContinuousClock.Instant
    var roundStart: ContinuousClock.Instant

    /// - Parameters:
    ///   - hello: describes the source and the guest.
    ///   - hintsAvailable: whether the guest's driver offers hints.
    ///   - mayClear: whether the guest may clear pages before it hints them.
    ///   - isDisk: whether the destination is a file.
    public init(
        _ parameters: MigrationParameters,
        hello: Hello,
        hintsAvailable: Bool,
        mayClear: Bool,
        isDisk: Bool = false,
        now: ContinuousClock.Instant
    ) {
        self.parameters = parameters
        self.hello = hello
        self.isDisk = isDisk
        hints = HintPolicy(parameters, isAvailable: hintsAvailable, mayClear: mayClear)
        planner = RoundPlanner(downtimeLimit: parameters.downtimeLimit, smallestRestPages: parameters.smallestRestPages)
        startTime = now
        roundStart = now
        report.status = .setup
        report.ram.total = Int(hello.regions.byteCount)
        report.downtimeLimit = Int(parameters.downtimeLimit.wholeMilliseconds)
    }

    // MARK: What the driver obeys while it waits

    /// Whether the migration can still be cancelled.
    public var canCancel: Bool {
        switch state {
        case .switchingOver(let switchOver): !switchOver.isCommitting
        case .over: false
        default: true
        }
    }

    /// Whether the timeout applies in this state. Pausing the guest helps only while pages are being sent.
    public var timeoutApplies: Bool {
        switch state {
        case .sampling, .headStart, .sending: true
        // The timeout limits the time until switch-over, which has begun.
        case .switchingOver, .over: false
        default: parameters.onTimeout == .cancel
        }
    }

    /// When the guest resumes here, whatever the destination does. `nil` while the guest runs or a person has paused it, and from commit
    /// on.
    public var pauseDeadline: ContinuousClock.Instant? {
        guard case .switchingOver(let switchOver) = state else { return nil }
        return switchOver.deadline
    }

    // MARK: Events

    /// Takes an event and returns what the driver must do, in order.
    public mutating func handle(_ event: Event, now: ContinuousClock.Instant) -> [Effect] {
        defer { report.totalTime = Int(startTime.duration(to: now).inMilliseconds.rounded(.up)) }
        switch (state, event) {
        case (.over, .failed(let failure)):
            // The guest could not be resumed when the migration backed out. The remaining effects still happen.
            report.errorDescription = [report.errorDescription, "\(failure)"].compactMap(\.self).joined(separator: "; and then: ")
            return []
        case (.over, _): return []

        case (.switchingOver(let switchOver), _): return handle(event, in: switchOver, now: now)

        case (_, .failed(let failure)): return fail(failure, now: now)
        case (_, .cancelRequested): return cancel("cancelled", now: now)
        case (_, .timeoutReached): return timeoutApplies ? timeOut(now: now) : []
        // The event belongs to a pause that is over.
        case (_, .pauseBudgetSpent): return []
        case (_, .roundInterrupted(let traffic)):
            recordInterrupted(traffic, now: now)
            return []

        case (.idle, .start(let runs)):
            runsAtStart = runs
            hints.guestRuns = runs
            state = .greeting
            return [.sendHello(hello)]
        case (.greeting, .peerHello(let peer)): return greet(peer, now: now)
        case (.counting, .counted(let present)): return beginSurvey(presentPages: present, now: now)
        case (.surveying(let survey), .surveyProgress(let progress)): return handle(progress, in: survey, now: now)
        case (.releasing(let start), .released):
            recordHeldBack(since: start, now: now)
            return arm()
        case (.settingUp, .setUp(let absent)): return beginRounds(absentPages: absent, now: now)
        case (.sampling, .roundSent(let traffic)): return endSample(traffic, now: now)
        case (.headStart(let headStart), .hintProgress(let progress)): return handle(progress, in: headStart, now: now)
        case (.sending, .roundSent(let traffic)):
            finishRound(traffic, now: now)
            state = .syncing
            return [.closeHints, .harvest]
        case (.syncing, .harvested(let dirtied, let pending, let took)):
            return endRound(dirtied: dirtied, pending: pending, took: took, now: now)
        default: preconditionFailure("event \(event) in state \(state)")
        }
    }
}
