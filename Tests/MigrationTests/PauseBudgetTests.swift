import AerostatMigration
import TestSupport
import Testing

/// The paused guest is never held hostage: what happens before commit has a budget as a whole.
@Suite struct PauseBudgetTests {
    typealias Walk = SourceSessionTests.Walk
    typealias Stage = SourceSessionTests.Stage

    @Test(arguments: [Stage.lastSync, .finishing])
    func `Past the budget the guest goes on at the source, whatever step was under way`(stage: Stage) {
        var walk = Walk()
        walk.go(to: stage)
        let effects = walk.handle(.pauseBudgetSpent)
        #expect(effects.contains(.resumeGuest))
        guard case .finish(.failed(.pauseBudget(.seconds(5), _)))? = effects.last else {
            Issue.record("\(effects)")
            return
        }
        #expect(walk.session.report.status == .failed)
        // The guest runs before anybody waits for a farewell.
        let resume = effects.firstIndex(of: .resumeGuest)!
        let abort = effects.firstIndex { if case .sendAbort = $0 { true } else { false } }!
        #expect(resume < abort)
    }

    @Test(arguments: [(300, 5), (500, 5), (2000, 20)])
    func `The budget is ten times the downtime limit, and five seconds at least`(limit: Int, seconds: Int) throws {
        var walk = Walk { $0.downtimeLimit = .milliseconds(limit) }
        walk.go(to: .pausing)
        let paused = walk.now
        walk.handle(.paused(guestRan: true))
        #expect(walk.session.pauseDeadline == paused + .seconds(seconds))
    }

    @Test func `There is no deadline while the guest runs, from commit on, or where a person has paused it`() {
        for stage in Stage.allCases {
            var walk = Walk()
            walk.go(to: stage)
            let isPaused = [.pausing, .lastSync, .finishing].contains(stage)
            #expect((walk.session.pauseDeadline != nil) == isPaused, "\(stage)")
            guard !isPaused else { continue }
            #expect(walk.handle(.pauseBudgetSpent).isEmpty, "\(stage)")
        }
        var walk = Walk()
        walk.go(to: .finishing, runs: false)
        #expect(walk.session.pauseDeadline == nil)
    }

    @Test func `Verification, and a rest that the timeout pauses the guest for, get time of their own`() throws {
        var verified = Walk { $0.verifies = true }
        verified.go(to: .finishing)
        var plain = Walk()
        plain.go(to: .finishing)
        // Both are as far from their pause.
        let (with, without) = (try #require(verified.session.pauseDeadline), try #require(plain.session.pauseDeadline))
        #expect(verified.now.duration(to: with) > plain.now.duration(to: without) + .seconds(1))

        var walk = Walk {
            $0.timeout = .seconds(1)
            $0.onTimeout = .pause
        }
        walk.go(to: .sending)
        walk.handle(.timeoutReached)
        walk.handle(.paused(guestRan: true))
        let before = try #require(walk.session.pauseDeadline)
        // 32 MiB at 1 Mbit/s, where nothing was measured.
        walk.handle(.harvested(dirtied: 0, pending: 8192, took: .zero))
        let after = try #require(walk.session.pauseDeadline)
        #expect(before.duration(to: after) > .seconds(3 * 250))
        #expect(before.duration(to: after) < .seconds(3 * 300))
    }

    @Test func `A report says where the downtime limit was not kept`() {
        var walk = Walk { $0.downtimeLimit = .milliseconds(3) }
        walk.go(to: .awaitingRunning)
        walk.handle(.peerRunning)
        #expect(walk.session.report.isDowntimeLimitExceeded, "\(walk.session.report)")
        var other = Walk { $0.downtimeLimit = .milliseconds(300) }
        other.go(to: .awaitingRunning)
        other.handle(.peerRunning)
        #expect(!other.session.report.isDowntimeLimitExceeded)
    }
}
