import AerostatGuestMemory
import AerostatMigration
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
    static let hello = Hello(session: SessionID(high: 1, low: 2), regions: regions, capabilities: [])

    /// A session and all effects that it gave.
    struct Walk {
        var session: SourceSession
        var now = ContinuousClock.now
        var effects: [SourceSession.Effect] = []

        init(_ change: (inout MigrationParameters) -> Void = { _ in }, hints: Bool = true) {
            var parameters = MigrationParameters()
            (parameters.samplePages, parameters.smallestSampledPages) = (5, 1)
            change(&parameters)
            session = SourceSession(parameters, hello: SourceSessionTests.hello, hintsAvailable: hints, mayClear: true, now: now)
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
            handle(.start(guestRuns: runs))
            if stage > .greeting { handle(.peerHello(SourceSessionTests.hello)) }
            if stage > .settingUp { handle(.setUp(absentPages: 10)) }
            if stage > .sampling, effects.last == .sendSample(1, pages: 5) { handle(.roundSent(SourceSession.RoundTraffic())) }
            if stage > .headStart, effects.contains(.openHints) { handle(.hintProgress(stopped)) }
            if stage > .sending { handle(.roundSent(SourceSession.RoundTraffic())) }
            if stage > .syncing { handle(.harvested(dirtied: 0, pending: 0, took: .zero)) }
            if stage > .pausing { handle(.paused(guestRan: runsAtPause ?? runs)) }
            if stage > .lastSync { handle(.harvested(dirtied: 0, pending: 0, took: .zero)) }
            if stage > .lastSync { handle(.restSent(SourceSession.RoundTraffic())) }
            if stage > .finishing { handle(.peerReady(Ready())) }
            if stage > .committing { handle(.commitSent) }
        }

        /// From the pause to the end of a guest that ran.
        mutating func switchOver(dirtied: Int = 0, pending: Int = 0) {
            handle(.paused(guestRan: true))
            handle(.harvested(dirtied: dirtied, pending: pending, took: .zero))
            handle(.restSent(SourceSession.RoundTraffic()))
            handle(.peerReady(Ready()))
            handle(.commitSent)
            handle(.peerRunning)
        }

        func index(of effect: SourceSession.Effect) -> Int? { effects.firstIndex(of: effect) }
    }

    /// What every walk that has ended must satisfy.
    func expectRules(_ walk: Walk, runsAtStart: Bool = true, pausedByPerson: Bool = false, _ comment: Comment) {
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
                #expect(armed, "arm before asking; \(comment)")
                #expect(!open && !paused, comment)
                (open, asked, closed) = (true, true, false)
            case .closeHints: (open, closed) = (false, true)
            case .harvest: #expect(closed, "stop before sync; \(comment)")
            case .finishHints: asked = false
            case .pauseGuest: paused = true
            case .resumeGuest:
                #expect(paused && runsAtStart && !pausedByPerson, "resumed though we did not pause it; \(comment)")
                if case .finish(.completed)? = effects.last { Issue.record("one owner: resumed after all; \(comment)") }
                if case .finish(.unknown)? = effects.last { Issue.record("one owner: resumed after commit; \(comment)") }
                paused = false
            case .finish(let outcome):
                #expect(!open, "hints left open; \(comment)")
                #expect(!asked, "done always comes; \(comment)")
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

    @Test(arguments: [true, false], [true, false])
    func `All goes well`(runs: Bool, hints: Bool) {
        var walk = Walk(hints: hints)
        walk.go(to: .awaitingRunning, runs: runs)
        walk.handle(.peerRunning)
        expectRules(walk, runsAtStart: runs, "runs: \(runs)")
        #expect(walk.effects.last == .finish(.completed))
        // A paused guest cannot answer hints.
        #expect(walk.effects.contains(.openHints) == (hints && runs))
        #expect(walk.handle(.cancelRequested) == [])
    }

    @Test func `Later rounds ask with a new command, closed before each harvest`() {
        var walk = Walk { $0.downtimeLimit = .zero }
        walk.go(to: .syncing)
        for _ in 0..<3 {
            let effects = walk.handle(.harvested(dirtied: 500, pending: 500, took: .milliseconds(1)))
            #expect(effects.contains(.openHints))
            walk.handle(.roundSent(SourceSession.RoundTraffic()))
        }
        walk.handle(.harvested(dirtied: 1, pending: 1, took: .zero))
        walk.switchOver(dirtied: 2, pending: 3)
        expectRules(walk, "four rounds")
        let report = walk.session.report
        // The first is the sample. The harvest after the pause belongs to the round before it, which had one already.
        #expect(report.rounds.map(\.number) == [1, 2, 3, 4, 5, 6])
        #expect(report.rounds.map(\.dirtiedPages) == [0, 500, 500, 500, 3, 0])
        #expect(report.ram.dirtySyncCount == 5)
        #expect(report.rounds.last?.pendingPages == 3)
    }

    @Test func `The link's rate is learnt from a few pages, where that is worth it`() {
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
                progress.clearedPages += pagesPerWindow
                walk.now += .milliseconds(9)
                walk.handle(.hintProgress(progress))
            }
            #expect((walk.session.report.freePageHints.headStart == 0) == waits, "\(pagesPerWindow) pages in 10 ms")
        }
    }

    @Test func `A sample of a guest full of zeros says nothing of the link`() {
        var walk = Walk()
        walk.go(to: .sampling)
        var traffic = SourceSession.RoundTraffic()
        (traffic.bytes, traffic.normalPages, traffic.zeroPages, traffic.duration) = (2 << 20, 4, 80, .seconds(1))
        walk.handle(.roundSent(traffic))
        #expect(walk.session.planner.bytesPerSecond == nil && walk.session.report.rounds[0].zeroPages == 80)
    }

    @Test func `A guest that was paused at the start and resumed meanwhile is switched over when its rest fits, and not before`() {
        var walk = Walk { $0.downtimeLimit = .zero }
        walk.go(to: .syncing, runs: false)
        #expect(walk.handle(.harvested(dirtied: 900, pending: 900, took: .zero)).first == .beginRound(2))
        walk.handle(.roundSent(SourceSession.RoundTraffic()))
        #expect(walk.handle(.harvested(dirtied: 3, pending: 3, took: .zero)) == [.pauseGuest])
        walk.handle(.paused(guestRan: true))
        walk.handle(.harvested(dirtied: 0, pending: 3, took: .zero))
        walk.handle(.restSent(SourceSession.RoundTraffic()))
        walk.handle(.peerReady(Ready()))
        walk.handle(.commitSent)
        walk.handle(.peerRunning)
        #expect(walk.session.report.downtime != nil)
    }

    @Test func `A migration that does not converge keeps its first and its last rounds, and the sums of all`() {
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

    @Test(arguments: Stage.allCases)
    func `Cancelled in each state`(stage: Stage) {
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

    @Test(arguments: Stage.allCases, [true, false])
    func `The link lost in each state`(stage: Stage, runs: Bool) {
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

    @Test(arguments: [Stage.lastSync, .finishing])
    func `A guest that a person paused meanwhile is not resumed`(stage: Stage) {
        var walk = Walk()
        walk.go(to: stage, runsAtPause: false)
        walk.handle(.failed(.link("cut")))
        expectRules(walk, pausedByPerson: true, "\(stage)")
        #expect(!walk.effects.contains(.resumeGuest))
    }

    @Test(arguments: Stage.allCases)
    func `Timeout with cancel in each state`(stage: Stage) {
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

    @Test(arguments: Stage.allCases)
    func `Timeout with pause pauses while pages are sent, and the rest goes on to the end`(stage: Stage) {
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
        #expect(walk.handle(.paused(guestRan: true)).prefix(2) == [.closeHints, .harvest])
        walk.handle(.harvested(dirtied: 100, pending: 900, took: .zero))
        walk.handle(.restSent(SourceSession.RoundTraffic()))
        walk.handle(.peerReady(Ready()))
        walk.handle(.commitSent)
        walk.handle(.peerRunning)
        expectRules(walk, "\(stage)")
        #expect(walk.effects.last == .finish(.completed))
    }

    @Test func `Differences stop before commit`() {
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

    @Test func `A hello for another guest or migration is refused before anything is armed`() {
        for hello in [
            Hello(session: SessionID(high: 1, low: 2), regions: regionTable(pages: 999), capabilities: []),
            Hello(session: SessionID(high: 1, low: 3), regions: Self.regions, capabilities: []),
            Hello(session: SessionID(high: 1, low: 2), regions: Self.regions, capabilities: Hello.Capabilities(rawValue: 8)),
        ] {
            var walk = Walk()
            walk.go(to: .greeting)
            walk.handle(.peerHello(hello))
            expectRules(walk, "\(hello)")
            #expect(!walk.effects.contains(.setUp(recordsCleared: false)))
        }
    }

    @Test func `Without grace the first look comes at once`() {
        var walk = Walk { $0.hintGrace = .zero }
        walk.go(to: .settingUp)
        let effects = walk.handle(.setUp(absentPages: 0))
        #expect(effects.last == .waitForHints(until: walk.now))
    }

    @Test func `A guest that cannot be resumed is told in the report, and all else is done`() {
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
