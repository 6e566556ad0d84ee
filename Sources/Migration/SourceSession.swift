import GuestMemory
import Host

/// The source's side of a migration as a state machine: an event goes in, the effects to perform come out, in order.
///
/// It touches no thread, descriptor or guest. `SourceMigration` performs the effects and feeds back what happened.
///
/// ```
///  greeting -> counting -> surveying -> releasing -> settingUp -> sampling -> headStart
///                                                                                 |
///     +---------------------------------------------------------------------------+
///     v
///  sending -> syncing -> pausing -> lastSync -> finishing -> committing -> awaitingRunning -> over
///     ^          |
///     +----------+ next round
/// ```
///
/// Every failure before `commit` leads to `over` with the guest resumed here; every one after it leaves the guest paused, because
/// the destination may run it (DESIGN, rule 10).
public struct SourceSession: Sendable {
    public enum Event: Hashable, Sendable {
        /// The link is there. `runs`: whether the guest runs now.
        case start(runs: Bool)
        case peerHello(Hello)
        /// So many pages exist.
        case counted(presentPages: Int)
        /// The guest has taken its blocks back, or does not answer.
        case released
        /// The tracker is armed and the pages that exist are pending.
        case setUp(absentPages: Int)
        case hintProgress(HintProgress)
        /// All that was pending has been handed to the link.
        case roundSent(RoundTraffic)
        /// What was written is pending again.
        case harvested(dirtied: Int, pending: Int, took: Duration)
        /// The guest stands still. `runs`: whether it ran until now; a person may have paused it meanwhile.
        case paused(runs: Bool)
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

    /// What the driver does next. Effects without an event of their own end with the next effect.
    public enum Effect: Hashable, Sendable {
        case sendHello(Hello)
        /// Count the pages that exist: `.counted`.
        case countPages
        /// Publish a command of which nothing is believed: see `FreePageSurvey`. `.waitForHints` then waits for its progress.
        case openSurvey
        /// Tell the guest to take its blocks back, and wait until it has heard that: `.released`.
        case releaseBlocks(until: ContinuousClock.Instant)
        /// Arm the tracker, then make the pages that exist pending: `.setUp`.
        case setUp
        /// Publish a fresh command id, with the ledger open for it.
        case openHints
        /// Close device and ledger; on return no hint is being applied.
        case closeHints
        /// Tell the guest to take its blocks back.
        case finishHints
        case beginRound(Int)
        /// Feed `.hintProgress` at this time, or earlier when the guest is done answering.
        case waitForHints(until: ContinuousClock.Instant)
        /// Send what is pending, then tell the destination which pages are free: `.roundSent`.
        case sendRound(Int)
        /// Send so many pages of data, so that the link's rate is known: `.roundSent`.
        case sendSample(Int, pages: Int)
        case harvest
        case pauseGuest
        /// Pending pages, device state, digests where asked, switchover; then wait for ready: `.restSent`, `.peerReady`.
        case sendRest(round: Int, verifies: Bool, runs: Bool)
        case sendCommit
        case awaitRunning
        case resumeGuest
        case sendAbort(String)
        case disarm
        case finish(Outcome)
    }

    public struct RoundTraffic: Hashable, Sendable {
        public var bytes = 0
        public var normalPages = 0
        public var zeroPages = 0
        public var freePages = 0
        /// Pages that hints took out of the round.
        public var skippedPages = 0
        public var duration: Duration = .zero
        /// What the link adds to a downtime besides sending.
        public var linkCost: Duration = .zero

        public init() {}
    }

    public enum Outcome: Hashable, Sendable {
        /// The destination runs the guest (or holds it paused, as it was here).
        case completed
        /// The guest is here, as it was.
        case cancelled(String)
        case failed(Failure)
        /// Commit was sent and `running` did not come: the guest stays paused here.
        case unknown(String)
    }

    enum State: Hashable, Sendable {
        case idle, greeting, counting, settingUp, sampling
        case surveying(HeadStart)
        case releasing(since: HeadStart)
        case headStart(HeadStart)
        case sending, syncing, pausing, lastSync, finishing, committing, awaitingRunning, over
    }

    public let parameters: MigrationParameters
    let hello: Hello
    private let hintsAvailable: Bool
    private let mayClear: Bool
    let isDisk: Bool
    var state = State.idle
    /// The round under way; 1 is the first.
    private(set) public var round = 0
    var runsAtStart = true
    var isPausedByUs = false
    /// The guest was asked, or the tracker is armed.
    private var hasBegun = false
    /// How long the first round has been held back, and how much longer it may be.
    private var heldBack: Duration = .zero
    private var graceLeft: Duration
    /// The guest has cleared its free memory: another hint would cost it more than sending what it has freed since.
    private var hasCleared = false
    public internal(set) var planner: RoundPlanner
    /// What the report says so far. Counters that live in the ledger and the link are added by the driver.
    public internal(set) var report = MigrationReport()
    let startTime: ContinuousClock.Instant
    var roundStart: ContinuousClock.Instant
    var pauseTime: ContinuousClock.Instant?
    var pauseBudget: PauseBudget?
    /// Whether the timeout paused the guest, with whatever was pending then.
    var isRestUnbounded = false
    var hasSentRest = false
    /// The link's rate in a round that did not come to its end, in bytes a second.
    var interruptedRate: Double?

    /// - Parameters:
    ///   - hello: what the source says of itself and the guest.
    ///   - hintsAvailable: whether the guest's driver offers hints.
    ///   - mayClear: whether the guest may be one that clears what it hints.
    ///   - isDisk: whether the destination is a file.
    public init(
        _ parameters: MigrationParameters,
        hello: Hello,
        hintsAvailable: Bool,
        mayClear: Bool,
        isDisk: Bool = false,
        now: ContinuousClock.Instant
    ) {
        self.isDisk = isDisk
        self.parameters = parameters
        self.hello = hello
        self.hintsAvailable = hintsAvailable
        self.mayClear = mayClear
        planner = RoundPlanner(downtimeLimit: parameters.downtimeLimit, smallestRestPages: parameters.smallestRestPages)
        graceLeft = parameters.hintGrace
        startTime = now
        roundStart = now
        report.status = .setup
        report.ram.total = Int(hello.regions.byteCount)
        report.downtimeLimit = Int(parameters.downtimeLimit.wholeMilliseconds)
    }

    /// Whether a cancellation can still be obeyed.
    public var canCancel: Bool {
        switch state {
        case .committing, .awaitingRunning, .over: false
        default: true
        }
    }

    public mutating func handle(_ event: Event, now: ContinuousClock.Instant) -> [Effect] {
        defer { report.totalTime = Int(startTime.duration(to: now).inMilliseconds.rounded(.up)) }
        switch (state, event) {
        case (.over, .failed(let failure)):
            // The guest did not wake up when the migration backed out: all else still happens.
            report.errorDescription = [report.errorDescription, "\(failure)"].compactMap(\.self).joined(separator: "; and then: ")
            return []

        case (.over, _): return []

        case (.idle, .start(let runs)):
            runsAtStart = runs
            state = .greeting
            return [.sendHello(hello)]

        case (.greeting, .peerHello(let peer)):
            if let refusal = peer.refusal(shape: hello.regions) { return fail(.peer(refusal), now: now) }
            guard peer.session == hello.session else { return fail(.peer("it answered for another migration"), now: now) }
            let isLarge = hello.regions.pageCount >= parameters.smallestSurveyedPages
            guard asksForHints, mayClear, isLarge, graceLeft > .zero else { return arm() }
            state = .counting
            return [.countPages]

        case (.counting, .counted(let present)):
            return present < parameters.smallestSurveyedPages ? arm() : beginSurvey(presentPages: present, now: now)

        case (.surveying(var survey), .hintProgress(let progress)):
            switch survey.observe(progress, now: now) {
            case .wait(let until):
                state = .surveying(survey)
                return [.waitForHints(until: until)]
            case .go(let reason): return endSurvey(survey, reason, progress, now: now)
            }

        case (.releasing(let survey), .released):
            recordHeldBack(survey, now: now)
            return arm()

        case (.settingUp, .setUp(let absent)):
            report.absentPages = absent
            report.setupTime = Int((startTime.duration(to: now) - heldBack).inMilliseconds.rounded(.up))
            report.status = .active
            return needsSample(absentPages: absent) ? beginSample(now: now) : beginRound(now: now)

        case (.sampling, .roundSent(let traffic)):
            // A guest full of zeros says how fast they are looked at, and nothing of the link.
            if traffic.normalPages >= parameters.samplePages { finishRound(traffic, now: now) } else { record(traffic, now: now) }
            // Nothing was harvested: what was written since is found at the end of the next round.
            return beginRound(now: now)

        case (.headStart(var headStart), .hintProgress(let progress)):
            switch headStart.observe(progress, now: now) {
            case .wait(let until):
                state = .headStart(headStart)
                return [.waitForHints(until: until)]
            case .go:
                recordHeldBack(headStart, now: now)
                state = .sending
                return [.sendRound(round)]
            }

        case (.sending, .roundSent(let traffic)):
            finishRound(traffic, now: now)
            state = .syncing
            return [.closeHints, .harvest]

        case (.syncing, .harvested(let dirtied, let pending, let took)):
            recordHarvest(dirtied: dirtied, took: took, now: now)
            report.expectedDowntime = Int(planner.expectedDowntime(pendingPages: pending).inMilliseconds.rounded(.up))
            let ended = report.currentRound
            let verdict = planner.decide(
                pendingPages: pending,
                sentPages: ended.normalPages + ended.zeroPages,
                timeLeft: parameters.timeout.map { now.duration(to: startTime + $0) }
            )
            return verdict == .switchOver ? switchOver(now: now) : beginRound(now: now)

        case (.pausing, .paused(let runs)):
            runsAtStart = runs
            state = .lastSync
            // Hints are closed; a paused guest cannot answer any more, and hears done when it runs again.
            return [.closeHints, .harvest, .finishHints]

        case (.lastSync, .harvested(let dirtied, let pending, let took)):
            if !report.rounds.isEmpty { recordHarvest(dirtied: dirtied, took: took, now: now) }
            startRound(pendingPages: pending, now: now)
            report.currentRound.paused = true
            report.status = .device
            state = .finishing
            extendPauseBudget(pendingPages: pending)
            return [.beginRound(round), .sendRest(round: round, verifies: parameters.verifies, runs: runsAtStart)]

        case (.finishing, .restSent(let traffic)):
            record(traffic, now: now)
            hasSentRest = true
            return []

        case (.finishing, .peerReady(let ready)):
            if parameters.verifies {
                report.verify = .init(
                    status: ready.differences == 0 ? .passed : .failed,
                    pagesCompared: ready.pagesCompared,
                    pagesFree: ready.pagesFree,
                    differences: ready.differences,
                    firstDifference: ready.firstDifference
                )
                if ready.differences > 0 {
                    return fail(.verification(differences: ready.differences, firstPage: ready.firstDifference), now: now)
                }
            }
            state = .committing
            return [.sendCommit]

        case (.committing, .commitSent):
            state = .awaitingRunning
            return [.awaitRunning]

        case (.awaitingRunning, .peerRunning):
            recordDowntime(now: now)
            report.status = .completed
            state = .over
            return [.disarm, .finish(.completed)]

        case (.awaitingRunning, .failed(.notCommitted(let reason))): return fail(.notCommitted(reason), now: now)

        case (.awaitingRunning, .failed(let failure)):
            let reason = "commit was sent, and then: \(failure)"
            report.status = .unknown
            report.errorDescription = reason
            state = .over
            #if BrokenEngines
                if BrokenEngine.isActive(.resumesAtBothEnds) { return [.resumeGuest, .disarm, .finish(.unknown(reason))] }
            #endif
            return [.disarm, .finish(.unknown(reason))]

        case (_, .failed(let failure)): return fail(failure, now: now)
        case (.committing, .cancelRequested), (.awaitingRunning, .cancelRequested): return []
        case (_, .cancelRequested): return cancel("cancelled", now: now)
        case (_, .timeoutReached): return timeoutApplies ? timeOut(now: now) : []
        case (_, .pauseBudgetSpent):
            guard let pauseBudget, pauseDeadline != nil else { return [] }
            return fail(.pauseBudget(pauseBudget.duration, waitedForReady: hasSentRest), now: now)
        default: preconditionFailure("event \(event) in state \(state)")
        }
    }

    /// Whether the timeout means anything in this state. Pausing helps only while pages are being sent.
    public var timeoutApplies: Bool {
        switch state {
        case .sampling, .headStart, .sending: true
        // The guest is being switched over: the timeout was for getting here.
        case .pausing, .lastSync, .finishing, .committing, .awaitingRunning, .over: false
        default: parameters.onTimeout == .cancel
        }
    }

    // MARK: Before the first round

    private mutating func arm() -> [Effect] {
        state = .settingUp
        hasBegun = true
        return [.setUp]
    }

    private mutating func beginSurvey(presentPages: Int, now: ContinuousClock.Instant) -> [Effect] {
        hasBegun = true
        // A timeout that pauses the guest cannot before the tracker is armed.
        let timeLeft = parameters.timeout.map { max(.zero, now.duration(to: startTime + $0)) }
        let grace = min(graceLeft, timeLeft ?? graceLeft)
        let linkRate = parameters.bandwidthLimit.map(Double.init)
        state = .surveying(HeadStart(.survey, grace: grace, linkRate: linkRate, pagesAtStake: presentPages, now: now))
        return [.openSurvey, .waitForHints(until: now + min(HeadStart.window, grace))]
    }

    private mutating func endSurvey(
        _ survey: HeadStart,
        _ reason: HeadStart.Reason,
        _ progress: HintProgress,
        now: ContinuousClock.Instant
    ) -> [Effect] {
        let clears = progress.skippedPages > 0 && !progress.keepsContent
        if progress.isStarted, !clears {
            // Linux does not report again what it holds.
            state = .releasing(since: survey)
            return [.releaseBlocks(until: min(now + HeadStart.answerTime, survey.end))]
        }
        recordHeldBack(survey, now: now)
        // A guest that did not begin is asked again beside the first round, which does not wait for it.
        if !progress.isStarted { graceLeft = .zero }
        // What a guest that clears has left when it is slow, or the grace is over, it may hint while the rest is sent. What lies behind pages
        // that never existed is given up: to get at it, it would make its host provide them.
        hasCleared = clears && (reason == .answered || reason == .idle)
        return [.closeHints] + arm()
    }

    private mutating func recordHeldBack(_ headStart: HeadStart, now: ContinuousClock.Instant) {
        let took = headStart.start.duration(to: now)
        heldBack += took
        graceLeft = max(.zero, graceLeft - took)
        report.freePageHints.headStart = heldBack.inMilliseconds
    }

    // MARK: Rounds

    private var asksForHints: Bool { parameters.usesHints && hintsAvailable && runsAtStart && !isPausedByUs && !hasCleared }

    /// Whether the link's rate is worth a few pages that a hint might have spared.
    private func needsSample(absentPages: Int) -> Bool {
        asksForHints && parameters.bandwidthLimit == nil && graceLeft > .zero
            && hello.regions.pageCount - absentPages >= parameters.smallestSampledPages
    }

    private mutating func beginSample(now: ContinuousClock.Instant) -> [Effect] {
        startRound(pendingPages: nil, now: now)
        state = .sampling
        return [.beginRound(round), .sendSample(round, pages: parameters.samplePages)]
    }

    private mutating func beginRound(now: ContinuousClock.Instant) -> [Effect] {
        let isFirst = state != .syncing
        startRound(pendingPages: nil, now: now)
        var effects: [Effect] = [.beginRound(round)]
        if asksForHints { effects.append(.openHints) }
        if asksForHints && isFirst {
            let linkRate = parameters.bandwidthLimit.map(Double.init) ?? planner.bytesPerSecond
            let headStart = HeadStart(grace: graceLeft, linkRate: linkRate, now: now)
            state = .headStart(headStart)
            effects.append(.waitForHints(until: now + min(HeadStart.window, graceLeft)))
        } else {
            state = .sending
            effects.append(.sendRound(round))
        }
        return effects
    }

    private mutating func startRound(pendingPages: Int?, now: ContinuousClock.Instant) {
        roundStart = now
        round += 1
        var entry = MigrationReport.Round(number: round, start: startTime.duration(to: now).inMilliseconds)
        entry.pendingPages = pendingPages ?? 0
        report.append(entry)
    }

    /// A round that came to its end says how fast the link is.
    private mutating func finishRound(_ traffic: RoundTraffic, now: ContinuousClock.Instant) {
        record(traffic, now: now)
        planner.recordLinkCost(traffic.linkCost)
        planner.recordRound(bytes: traffic.bytes, duration: traffic.duration)
    }

    /// The driver knows how much is pending when a round begins.
    public mutating func setPendingAtRoundStart(_ pages: Int) {
        report.currentRound.pendingPages = pages
    }

    /// Pages that left in a round that did not come to its end.
    public mutating func recordInterrupted(_ traffic: RoundTraffic, now: ContinuousClock.Instant) {
        record(traffic, now: now)
        let seconds = traffic.duration.inMilliseconds / 1000
        if traffic.bytes > 0, seconds > 0 { interruptedRate = Double(traffic.bytes) / seconds }
    }

    // MARK: The ends

    private mutating func timeOut(now: ContinuousClock.Instant) -> [Effect] {
        switch parameters.onTimeout {
        case .cancel:
            return cancel(
                "the timeout of \(parameters.timeout.map { "\($0)" } ?? "") passed before the guest could be switched over",
                now: now
            )
        case .pause:
            // What is left of the round stays pending; nothing is lost by leaving it.
            report.status = .pausedByTimeout
            isRestUnbounded = true
            return switchOver(now: now)
        }
    }

    private mutating func cancel(_ reason: String, now: ContinuousClock.Instant) -> [Effect] {
        report.status = .cancelled
        report.errorDescription = reason
        return backOut(reason, .cancelled(reason), now: now)
    }

    private mutating func fail(_ failure: Failure, now: ContinuousClock.Instant) -> [Effect] {
        report.status = .failed
        report.errorDescription = "\(failure)"
        return backOut("\(failure)", .failed(failure), now: now)
    }

    /// Hints are done, the guest runs as it did, the destination hears why (DESIGN, section 2, step 7).
    private mutating func backOut(_ reason: String, _ outcome: Outcome, now: ContinuousClock.Instant) -> [Effect] {
        recordDowntime(now: now)
        state = .over
        var effects: [Effect] = []
        if hasBegun { effects += [.closeHints, .finishHints] }
        if isPausedByUs && runsAtStart { effects.append(.resumeGuest) }
        if hasBegun { effects.append(.disarm) }
        return effects + [.sendAbort(reason), .finish(outcome)]
    }
}
