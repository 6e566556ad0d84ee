import GuestMemory
import Migration
import TestSupport
import Testing

/// Walks of the source's state machine, with the order of effects that the rules demand.
@Suite struct SourceSessionTests {
    /// Where a walk may be interrupted, in order.
    enum Stage: Int, CaseIterable, Comparable {
        case greeting, settingUp, sampling, headStart, sending, syncing, pausing, lastSync, finishing, committing, awaitingRunning

        static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    private static let regions = regionTable(pages: 1000)
    private static let hello = Hello(session: SessionID(high: 1, low: 2), regions: regions, capabilities: [])

    /// A session and all effects that it gave.
    struct Walk {
        var session: SourceSession
        var now = ContinuousClock.now
        var effects: [SourceSession.Effect] = []

        init(_ change: (inout MigrationParameters) -> Void = { _ in }, hints: Bool = true) {
            var parameters = MigrationParameters()
            (parameters.samplePages, parameters.smallestSampledPages) = (5, 1)
            change(&parameters)
            session = SourceSession(parameters, hello: SourceSessionTests.hello, hintsAvailable: hints, now: now)
        }

        @discardableResult
        mutating func handle(_ event: SourceSession.Event) -> [SourceSession.Effect] {
            now += .milliseconds(1)
            let new = session.handle(event, now: now)
            effects += new
            return new
        }

        /// Goes on until the session is in a stage.
        mutating func go(to stage: Stage, runs: Bool = true, runsAtPause: Bool? = nil) {
            var stopped = HintProgress()
            stopped.isStopped = true
            handle(.start(runs: runs))
            if stage > .greeting { handle(.peerHello(SourceSessionTests.hello)) }
            if stage > .settingUp { handle(.setUp(absentPages: 10)) }
            if stage > .sampling, effects.last == .sendSample(1, pages: 5) { handle(.roundSent(SourceSession.RoundTraffic())) }
            if stage > .headStart, effects.contains(.openHints) { handle(.hintProgress(stopped)) }
            if stage > .sending { handle(.roundSent(SourceSession.RoundTraffic())) }
            if stage > .syncing { handle(.harvested(dirtied: 0, pending: 0, took: .zero)) }
            if stage > .pausing { handle(.paused(runs: runsAtPause ?? runs)) }
            if stage > .lastSync { handle(.harvested(dirtied: 0, pending: 0, took: .zero)) }
            if stage > .finishing { handle(.peerReady(Ready())) }
            if stage > .committing { handle(.commitSent) }
        }

        func index(of effect: SourceSession.Effect) -> Int? { effects.firstIndex(of: effect) }
    }

    /// What every walk that has ended must satisfy.
    private func expectRules(_ walk: Walk, runsAtStart: Bool = true, pausedByPerson: Bool = false, _ comment: Comment) {
        let effects = walk.effects
        var armed = false
        var open = false
        var asked = false
        var closed = true
        var paused = false
        for effect in effects {
            switch effect {
            case .setUp:
                armed = true
                #expect(!open, "the survey is over when the tracker is armed; \(comment)")
            case .openSurvey:
                #expect(!armed && !open && !paused, comment)
                (open, asked, closed) = (true, true, false)
            case .releaseBlocks: (open, asked, closed) = (false, false, true)
            case .openHints:
                #expect(armed, "rule 1: armed before asking; \(comment)")
                #expect(!open && !paused, comment)
                (open, asked, closed) = (true, true, false)
            case .closeHints: (open, closed) = (false, true)
            case .harvest: #expect(closed, "rule 2: closed before the harvest; \(comment)")
            case .finishHints: asked = false
            case .pauseGuest: paused = true
            case .resumeGuest:
                #expect(paused && runsAtStart && !pausedByPerson, "resumed though we did not pause it; \(comment)")
                if case .finish(.completed)? = effects.last { Issue.record("rule 10: resumed after all; \(comment)") }
                if case .finish(.unknown)? = effects.last { Issue.record("rule 10: resumed after commit; \(comment)") }
                paused = false
            case .finish(let outcome):
                #expect(!open, "hints left open; \(comment)")
                #expect(!asked, "rule 12: done never came; \(comment)")
                switch outcome {
                case .completed, .unknown: #expect(paused, comment)
                case .cancelled, .failed: #expect(!paused || !runsAtStart || pausedByPerson, "left paused; \(comment)")
                }
            default: break
            }
        }
        if armed { #expect(effects.contains(.disarm), comment) }
        guard case .finish? = effects.last else {
            Issue.record("no end; \(comment)")
            return
        }
        #expect(effects.filter { if case .finish = $0 { true } else { false } }.count == 1, comment)
        #expect(walk.session.report.status.isOver, comment)
    }

    @Test("All goes well", arguments: [true, false], [true, false])
    func completes(runs: Bool, hints: Bool) {
        var walk = Walk(hints: hints)
        walk.go(to: .awaitingRunning, runs: runs)
        walk.handle(.peerRunning)
        expectRules(walk, runsAtStart: runs, "runs: \(runs)")
        #expect(walk.effects.last == .finish(.completed))
        // A paused guest cannot answer hints.
        #expect(walk.effects.contains(.openHints) == (hints && runs))
        #expect(walk.handle(.cancelRequested) == [])
    }

    @Test("Later rounds ask with a new command, closed before each harvest")
    func rounds() {
        var walk = Walk { $0.downtimeLimit = .zero }
        walk.go(to: .syncing)
        for _ in 0..<3 {
            let effects = walk.handle(.harvested(dirtied: 500, pending: 500, took: .milliseconds(1)))
            #expect(effects.contains(.openHints))
            walk.handle(.roundSent(SourceSession.RoundTraffic()))
        }
        walk.handle(.harvested(dirtied: 1, pending: 1, took: .zero))
        walk.handle(.paused(runs: true))
        walk.handle(.harvested(dirtied: 2, pending: 3, took: .zero))
        walk.handle(.peerReady(Ready()))
        walk.handle(.commitSent)
        walk.handle(.peerRunning)
        expectRules(walk, "four rounds")
        let report = walk.session.report
        // The first is the sample. The harvest after the pause belongs to the round before it, which had one already.
        #expect(report.rounds.map(\.number) == [1, 2, 3, 4, 5, 6])
        #expect(report.rounds.map(\.dirtiedPages) == [0, 500, 500, 500, 3, 0])
        #expect(report.ram.dirtySyncCount == 5)
        #expect(report.rounds.last?.pendingPages == 3)
    }

    // MARK: The survey

    /// A guest of 1000 pages that is surveyed, as far as the survey's command.
    private func surveyed(_ change: (inout MigrationParameters) -> Void = { _ in }) -> Walk {
        var walk = Walk {
            $0.smallestSurveyedPages = 500
            change(&$0)
        }
        walk.go(to: .settingUp)
        #expect(walk.effects.last == .countPages)
        walk.handle(.counted(presentPages: 900))
        #expect(walk.effects.contains(.openSurvey))
        return walk
    }

    private func progress(_ change: (inout HintProgress) -> Void) -> SourceSession.Event {
        var progress = HintProgress()
        progress.isStarted = true
        change(&progress)
        return .hintProgress(progress)
    }

    /// From the end of the survey to the end of the migration; the session says what is done between.
    private func goOn(_ walk: inout Walk) {
        #expect(walk.effects.last == .setUp)
        walk.handle(.setUp(absentPages: 100))
        if walk.effects.last == .sendSample(1, pages: 5) { walk.handle(.roundSent(SourceSession.RoundTraffic())) }
        if case .waitForHints? = walk.effects.last { walk.handle(progress { $0.isStopped = true }) }
        walk.handle(.roundSent(SourceSession.RoundTraffic()))
        walk.handle(.harvested(dirtied: 0, pending: 0, took: .zero))
        walk.handle(.paused(runs: true))
        walk.handle(.harvested(dirtied: 0, pending: 0, took: .zero))
        walk.handle(.peerReady(Ready()))
        walk.handle(.commitSent)
        walk.handle(.peerRunning)
    }

    @Test("A guest that has cleared its free pages is not asked again, and nothing is waited for")
    func clears() {
        var walk = surveyed()
        walk.handle(progress { $0.skippedPages = 300 })
        guard case .waitForHints? = walk.effects.last else {
            Issue.record("\(walk.effects)")
            return
        }
        #expect(
            walk.handle(
                progress {
                    $0.skippedPages = 400
                    $0.isStopped = true
                }
            ) == [.closeHints, .setUp]
        )
        goOn(&walk)
        expectRules(walk, "a guest that clears")
        #expect(!walk.effects.contains(.openHints) && walk.session.report.rounds.first?.number == 1)
        #expect(!walk.effects.contains { if case .sendSample = $0 { true } else { false } })
        #expect(walk.session.report.freePageHints.headStart >= 2)
        #expect(walk.session.report.setupTime == 4, "the survey is no set-up")
    }

    @Test("A guest that keeps its memory as it is takes its blocks back, and is asked behind the armed tracker")
    func keepsContent() {
        var walk = surveyed()
        let effects = walk.handle(
            progress {
                $0.skippedPages = 1
                $0.keepsContent = true
            }
        )
        guard effects.count == 1, case .releaseBlocks = effects[0] else {
            Issue.record("\(effects)")
            return
        }
        #expect(walk.handle(.released) == [.setUp])
        goOn(&walk)
        expectRules(walk, "a guest that keeps its memory")
        #expect(walk.effects.contains(.openHints))
    }

    @Test("A guest whose grace is over before it has cleared all, or that is slow, and one that cleared nothing, are asked again")
    func clearsInPart() {
        // The last stands still for long enough: 400 pages are sent in less.
        let cases = [(2, 400, false, true), (1000, 0, true, true), (1000, 400, true, false), (1000, 400, false, true)]
        for (grace, cleared, isExhausted, asks) in cases {
            var walk = surveyed { $0.hintGrace = .milliseconds(grace) }
            let seen = progress {
                $0.skippedPages = cleared
                $0.isExhausted = isExhausted
            }
            walk.handle(seen)
            while case .waitForHints? = walk.effects.last {
                walk.now += .milliseconds(10)
                walk.handle(seen)
            }
            // What it holds it does not report again; what it has cleared must not be cleared anew.
            let releases = walk.effects.contains { if case .releaseBlocks = $0 { true } else { false } }
            #expect(releases == (cleared == 0))
            if releases { walk.handle(.released) }
            goOn(&walk)
            expectRules(walk, "grace \(grace), cleared \(cleared)")
            #expect(walk.effects.contains(.openHints) == asks, "grace \(grace), cleared \(cleared)")
        }
    }

    @Test("The wait for its release is part of the grace, and the survey ends with the timeout")
    func surveyIsBounded() {
        var walk = surveyed { $0.hintGrace = .milliseconds(50) }
        let start = walk.now
        let effects = walk.handle(progress { $0.keepsContent = true })
        #expect(effects == [.releaseBlocks(until: start + .milliseconds(50))])
        walk.now += .milliseconds(30)
        walk.handle(.released)
        #expect(walk.session.report.freePageHints.headStart == 32)
        var hurried = surveyed {
            $0.timeout = .milliseconds(20)
            $0.onTimeout = .pause
        }
        // It began 3 ms ago.
        #expect(hurried.effects.last == .waitForHints(until: hurried.now + .milliseconds(10)))
        hurried.now += .milliseconds(16)
        #expect(hurried.handle(progress { $0.skippedPages = 1 }).last == .setUp)
    }

    @Test("A guest that does not answer the survey is waited for once")
    func silentSurvey() {
        var walk = surveyed()
        walk.now += .milliseconds(300)
        #expect(walk.handle(.hintProgress(HintProgress())) == [.closeHints, .setUp])
        walk.handle(.setUp(absentPages: 100))
        #expect(!walk.effects.contains { if case .sendSample = $0 { true } else { false } })
        // It is asked, and what it says counts; but the round does not wait.
        #expect(walk.effects.contains(.openHints))
        #expect(walk.handle(.hintProgress(HintProgress())) == [.sendRound(1)])
    }

    @Test("There is no survey where it cannot be worth it")
    func noSurvey() {
        func surveys(hints: Bool = true, runs: Bool = true, _ change: (inout MigrationParameters) -> Void = { _ in }) -> Bool {
            var walk = Walk(
                {
                    $0.smallestSurveyedPages = 500
                    change(&$0)
                },
                hints: hints
            )
            walk.go(to: .settingUp, runs: runs)
            return walk.effects.contains(.countPages)
        }
        #expect(surveys())
        #expect(!surveys(hints: false))
        #expect(!surveys(runs: false))
        #expect(!surveys { $0.usesHints = false })
        #expect(!surveys { $0.hintGrace = .zero })
        #expect(!surveys { $0.smallestSurveyedPages = 1001 })
        // One that fills what it frees has nothing to clear.
        var parameters = MigrationParameters()
        parameters.smallestSurveyedPages = 500
        var session = SourceSession(parameters, hello: Self.hello, hintsAvailable: true, mayClear: false, now: .now)
        _ = session.handle(.start(runs: true), now: .now)
        #expect(session.handle(.peerHello(Self.hello), now: .now) == [.setUp])
        var small = Walk { $0.smallestSurveyedPages = 500 }
        small.go(to: .settingUp)
        #expect(small.handle(.counted(presentPages: 499)) == [.setUp])
    }

    @Test("A survey that is cancelled, or fails, leaves nothing held", arguments: [true, false], 0..<3)
    func endsInSurvey(cancels: Bool, stage: Int) {
        var walk = Walk { $0.smallestSurveyedPages = 500 }
        walk.go(to: .settingUp)
        if stage > 0 { walk.handle(.counted(presentPages: 900)) }
        if stage > 1 { walk.handle(progress { $0.keepsContent = true }) }
        walk.handle(cancels ? .cancelRequested : .failed(.link("cut")))
        expectRules(walk, "stage \(stage)")
        if stage == 1 { #expect(walk.effects.contains(.finishHints)) }
    }

    @Test("The link's rate is learnt from a few pages, where that is worth it")
    func sample() {
        func asks(_ change: (inout MigrationParameters) -> Void = { _ in }, hints: Bool = true, runs: Bool = true) -> [SourceSession.Effect]
        {
            var walk = Walk(change, hints: hints)
            walk.go(to: .sampling, runs: runs)
            return walk.effects.suffix(2)
        }
        #expect(asks() == [.beginRound(1), .sendSample(1, pages: 5)])
        #expect(asks { $0.smallestSampledPages = 990 } == [.beginRound(1), .sendSample(1, pages: 5)])
        #expect(asks { $0.smallestSampledPages = 991 }.first == .openHints)
        #expect(asks { $0.bandwidthLimit = 1 << 20 }.first == .openHints)
        #expect(asks { $0.hintGrace = .zero }.first == .openHints)
        #expect(asks(hints: false) == [.beginRound(1), .sendRound(1)])
        #expect(asks(runs: false) == [.beginRound(1), .sendRound(1)])

        // 2 MiB in 100 ms: a guest of 50 MB/s is faster than that, and is waited for; one of 10 MB/s is not.
        for (pagesPerWindow, waits) in [(128, true), (25, false)] {
            var walk = Walk()
            walk.go(to: .sampling)
            var traffic = SourceSession.RoundTraffic()
            (traffic.bytes, traffic.normalPages, traffic.duration) = (2 << 20, 5, .milliseconds(100))
            #expect(walk.handle(.roundSent(traffic)).prefix(2) == [.beginRound(2), .openHints])
            var progress = HintProgress()
            progress.isStarted = true
            for _ in 0..<10 where walk.session.report.freePageHints.headStart == 0 {
                progress.skippedPages += pagesPerWindow
                walk.now += .milliseconds(9)
                walk.handle(.hintProgress(progress))
            }
            #expect((walk.session.report.freePageHints.headStart == 0) == waits, "\(pagesPerWindow) pages in 10 ms")
        }
    }

    @Test("A sample of a guest full of zeros says nothing of the link")
    func emptySample() {
        var walk = Walk()
        walk.go(to: .sampling)
        var traffic = SourceSession.RoundTraffic()
        (traffic.bytes, traffic.normalPages, traffic.zeroPages, traffic.duration) = (2 << 20, 4, 80, .seconds(1))
        walk.handle(.roundSent(traffic))
        #expect(walk.session.planner.bytesPerSecond == nil && walk.session.report.rounds[0].zeroPages == 80)
    }

    @Test("A guest that was paused at the start and resumed meanwhile is switched over when its rest fits, and not before")
    func resumedMeanwhile() {
        var walk = Walk { $0.downtimeLimit = .zero }
        walk.go(to: .syncing, runs: false)
        #expect(walk.handle(.harvested(dirtied: 900, pending: 900, took: .zero)).first == .beginRound(2))
        walk.handle(.roundSent(SourceSession.RoundTraffic()))
        #expect(walk.handle(.harvested(dirtied: 3, pending: 3, took: .zero)) == [.pauseGuest])
        walk.handle(.paused(runs: true))
        walk.handle(.harvested(dirtied: 0, pending: 3, took: .zero))
        walk.handle(.peerReady(Ready()))
        walk.handle(.commitSent)
        walk.handle(.peerRunning)
        #expect(walk.session.report.downtime != nil)
    }

    @Test("A migration that does not converge keeps its first and its last rounds, and the sums of all")
    func manyRounds() {
        var walk = Walk({ $0.downtimeLimit = .zero }, hints: false)
        walk.go(to: .sending)
        var traffic = SourceSession.RoundTraffic()
        (traffic.bytes, traffic.normalPages, traffic.duration) = (4096, 1, .milliseconds(1))
        let rounds = MigrationReport.maximumRounds + 500
        for _ in 1..<rounds {
            walk.handle(.roundSent(traffic))
            walk.handle(.harvested(dirtied: 500, pending: 500, took: .zero))
        }
        let report = walk.session.report
        #expect(report.rounds.count == MigrationReport.maximumRounds && report.roundCount == rounds)
        #expect(report.rounds.map(\.bytes).reduce(0, +) == 4096 * (rounds - 1))
        let sums = report.rounds.filter { $0.through != nil }
        #expect(sums.count == 1 && sums[0].number == 501 && sums[0].through == 1001 && sums[0].dirtiedPages == 501 * 500)
        #expect(zip(report.rounds, report.rounds.dropFirst()).allSatisfy { ($0.through ?? $0.number) + 1 == $1.number })
    }

    @Test("Cancelled in each state", arguments: Stage.allCases)
    func cancelled(stage: Stage) {
        var walk = Walk()
        walk.go(to: stage)
        #expect(walk.session.canCancel == (stage < .committing))
        let effects = walk.handle(.cancelRequested)
        guard stage < .committing else {
            #expect(effects == [])
            return
        }
        expectRules(walk, "\(stage)")
        #expect(walk.effects.last == .finish(.cancelled("cancelled")))
        #expect(walk.effects.contains(.resumeGuest) == (stage >= .pausing))
    }

    @Test("The link lost in each state", arguments: Stage.allCases, [true, false])
    func linkLost(stage: Stage, runs: Bool) {
        var walk = Walk()
        walk.go(to: stage, runs: runs)
        walk.handle(.failed(.link("cut")))
        expectRules(walk, runsAtStart: runs, "\(stage), runs: \(runs)")
        if stage == .awaitingRunning {
            guard case .finish(.unknown)? = walk.effects.last else {
                Issue.record("\(walk.effects)")
                return
            }
        } else {
            #expect(walk.effects.last == .finish(.failed(.link("cut"))))
        }
    }

    @Test("A guest that a person paused meanwhile is not resumed", arguments: [Stage.lastSync, .finishing])
    func pausedByPerson(stage: Stage) {
        var walk = Walk()
        walk.go(to: stage, runsAtPause: false)
        walk.handle(.failed(.link("cut")))
        expectRules(walk, pausedByPerson: true, "\(stage)")
        #expect(!walk.effects.contains(.resumeGuest))
    }

    @Test("Timeout with cancel in each state", arguments: Stage.allCases)
    func timeoutCancels(stage: Stage) {
        var walk = Walk { $0.timeout = .seconds(1) }
        walk.go(to: stage)
        let applies = walk.session.timeoutApplies
        #expect(applies == (stage < .pausing))
        walk.handle(.timeoutReached)
        if applies {
            expectRules(walk, "\(stage)")
            #expect(walk.session.report.status == .cancelled)
        }
    }

    @Test("Timeout with pause pauses while pages are sent, and the rest goes on to the end", arguments: Stage.allCases)
    func timeoutPauses(stage: Stage) {
        var walk = Walk {
            $0.timeout = .seconds(1)
            $0.onTimeout = .pause
        }
        walk.go(to: stage)
        let effects = walk.handle(.timeoutReached)
        guard (.sampling ... .sending).contains(stage) else {
            #expect(effects == [])
            return
        }
        #expect(effects == [.pauseGuest])
        #expect(walk.session.report.status == .pausedByTimeout)
        #expect(walk.handle(.paused(runs: true)).prefix(2) == [.closeHints, .harvest])
        walk.handle(.harvested(dirtied: 100, pending: 900, took: .zero))
        walk.handle(.peerReady(Ready()))
        walk.handle(.commitSent)
        walk.handle(.peerRunning)
        expectRules(walk, "\(stage)")
        #expect(walk.effects.last == .finish(.completed))
    }

    @Test("Differences stop before commit")
    func differences() {
        var walk = Walk { $0.verifies = true }
        walk.go(to: .finishing)
        var ready = Ready()
        (ready.differences, ready.firstDifference, ready.pagesCompared) = (2, 7, 100)
        walk.handle(.peerReady(ready))
        expectRules(walk, "differences")
        #expect(walk.effects.last == .finish(.failed(.verification(differences: 2, firstPage: 7))))
        #expect(!walk.effects.contains(.sendCommit))
        #expect(walk.session.report.verify?.status == .failed)
    }

    @Test("A hello for another guest or migration is refused before anything is armed")
    func refusals() {
        for hello in [
            Hello(session: SessionID(high: 1, low: 2), regions: regionTable(pages: 999), capabilities: []),
            Hello(session: SessionID(high: 1, low: 3), regions: Self.regions, capabilities: []),
            Hello(session: SessionID(high: 1, low: 2), regions: Self.regions, capabilities: Hello.Capabilities(rawValue: 8)),
        ] {
            var walk = Walk()
            walk.go(to: .greeting)
            walk.handle(.peerHello(hello))
            expectRules(walk, "\(hello)")
            #expect(!walk.effects.contains(.setUp))
        }
    }

    @Test("Without grace the first look comes at once")
    func noGrace() {
        var walk = Walk { $0.hintGrace = .zero }
        walk.go(to: .settingUp)
        let effects = walk.handle(.setUp(absentPages: 0))
        #expect(effects.last == .waitForHints(until: walk.now))
    }

    @Test("A guest that cannot be resumed is told in the report, and all else is done")
    func resumeFails() {
        var walk = Walk()
        walk.go(to: .finishing)
        walk.handle(.cancelRequested)
        #expect(walk.handle(.failed(.guest("it sleeps"))) == [])
        #expect(walk.session.report.errorDescription?.contains("it sleeps") == true)
    }

    @Test(arguments: [true, false])
    func `a commit that is known not to have happened resumes the guest, and only then`(_ runs: Bool) {
        var walk = Walk()
        walk.go(to: .awaitingRunning, runs: runs)
        let effects = walk.handle(.failed(.notCommitted("the disk failed")))
        #expect(effects.contains(.resumeGuest) == runs)
        #expect(effects.last == .finish(.failed(.notCommitted("the disk failed"))))
        #expect(walk.session.report.status == .failed)
        expectRules(walk, runsAtStart: runs, "not committed")
    }
}
