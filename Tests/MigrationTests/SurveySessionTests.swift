import AerostatMigration
import Testing

// Walks through the survey, which comes before the tracker is armed.
extension SourceSessionTests {
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

    private func progress(_ change: (inout SurveyProgress) -> Void) -> SourceSession.Event {
        var progress = SurveyProgress()
        progress.isStarted = true
        change(&progress)
        return .surveyProgress(progress)
    }

    private var stoppedHints: HintProgress {
        var progress = HintProgress()
        (progress.isStarted, progress.isStopped) = (true, true)
        return progress
    }

    /// From the end of the survey to the end of the migration; the session says what is done between.
    private func goOn(_ walk: inout Walk) {
        guard case .setUp? = walk.effects.last else {
            Issue.record("\(walk.effects)")
            return
        }
        walk.handle(.setUp(absentPages: 100))
        if walk.effects.last == .sendSample(1, pages: 5) { walk.handle(.roundSent(SourceSession.RoundTraffic())) }
        if case .waitForHints? = walk.effects.last { walk.handle(.hintProgress(stoppedHints)) }
        walk.handle(.roundSent(SourceSession.RoundTraffic()))
        walk.handle(.harvested(dirtied: 0, pending: 0, took: .zero))
        walk.switchOver()
    }

    @Test func `A guest that has cleared its free pages is not asked again, and nothing is waited for`() {
        var walk = surveyed()
        walk.handle(progress { $0.clearedPages = 300 })
        guard case .waitForSurvey? = walk.effects.last else {
            Issue.record("\(walk.effects)")
            return
        }
        #expect(
            walk.handle(
                progress {
                    $0.clearedPages = 400
                    $0.isStopped = true
                }
            ) == [.closeHints, .setUp(recordsCleared: true)]
        )
        goOn(&walk)
        expectRules(walk, "a guest that clears")
        #expect(!walk.effects.contains(.openHints) && walk.session.report.rounds.first?.number == 1)
        #expect(!walk.effects.contains { if case .sendSample = $0 { true } else { false } })
        #expect(walk.session.report.freePageHints.headStart >= 2)
        #expect(walk.session.report.setupTime == 4, "the survey is no set-up")
    }

    @Test func `A guest that keeps its memory as it is takes its blocks back, and is asked behind the armed tracker`() {
        var walk = surveyed()
        let effects = walk.handle(
            progress {
                $0.clearedPages = 1
                $0.keepsContent = true
            }
        )
        guard effects.count == 1, case .releaseBlocks = effects[0] else {
            Issue.record("\(effects)")
            return
        }
        #expect(walk.handle(.released) == [.setUp(recordsCleared: false)])
        goOn(&walk)
        expectRules(walk, "a guest that keeps its memory")
        #expect(walk.effects.contains(.openHints))
    }

    @Test func `A guest whose grace is over before it has cleared all, or that is slow, and one that cleared nothing, are asked again`() {
        // The last stands still for long enough: 400 pages are sent in less.
        let cases = [(2, 400, false, true), (1000, 0, true, true), (1000, 400, true, false), (1000, 400, false, true)]
        for (grace, cleared, isExhausted, asks) in cases {
            var walk = surveyed { $0.hintGrace = .milliseconds(grace) }
            let seen = progress {
                $0.clearedPages = cleared
                $0.isExhausted = isExhausted
            }
            walk.handle(seen)
            while case .waitForSurvey? = walk.effects.last {
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

    @Test func `The wait for its release is part of the grace, and the survey ends with the timeout`() {
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
        #expect(hurried.effects.last == .waitForSurvey(until: hurried.now + .milliseconds(10)))
        hurried.now += .milliseconds(16)
        #expect(hurried.handle(progress { $0.clearedPages = 1 }).last == .setUp(recordsCleared: true))
    }

    @Test func `A guest that does not answer the survey is waited for once`() {
        var walk = surveyed()
        walk.now += .milliseconds(300)
        #expect(walk.handle(.surveyProgress(SurveyProgress())) == [.closeHints, .setUp(recordsCleared: false)])
        walk.handle(.setUp(absentPages: 100))
        #expect(!walk.effects.contains { if case .sendSample = $0 { true } else { false } })
        // It is asked, and what it says counts; but the round does not wait.
        #expect(walk.effects.contains(.openHints))
        #expect(walk.handle(.hintProgress(HintProgress())) == [.sendRound(1)])
    }

    @Test func `There is no survey where it cannot be worth it`() {
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
        _ = session.handle(.start(guestRuns: true), now: .now)
        #expect(session.handle(.peerHello(Self.hello), now: .now) == [.setUp(recordsCleared: false)])
        var small = Walk { $0.smallestSurveyedPages = 500 }
        small.go(to: .settingUp)
        #expect(small.handle(.counted(presentPages: 499)) == [.setUp(recordsCleared: false)])
    }

    @Test(arguments: [true, false], 0..<3)
    func `A survey that is cancelled, or fails, leaves nothing held`(cancels: Bool, stage: Int) {
        var walk = Walk { $0.smallestSurveyedPages = 500 }
        walk.go(to: .settingUp)
        if stage > 0 { walk.handle(.counted(presentPages: 900)) }
        if stage > 1 { walk.handle(progress { $0.keepsContent = true }) }
        walk.handle(cancels ? .cancelRequested : .failed(.link("cut")))
        expectRules(walk, "stage \(stage)")
        if stage == 1 { #expect(walk.effects.contains(.finishHints)) }
    }
}
