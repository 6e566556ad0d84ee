import AerostatMigration
import Testing

@Suite struct HeadStartTests {
    private typealias Instant = ContinuousClock.Instant
    private static let zero = ContinuousClock.now

    /// When the head start ends, in ms, for a guest whose answer is given; asked when it wants to be asked.
    private func ends(
        grace: Duration = .seconds(1),
        linkRate: Double? = nil,
        _ answer: (_ milliseconds: Double) -> (started: Bool, stopped: Bool, skipped: Int)
    ) -> Double {
        var headStart = HeadStart(grace: grace, linkRate: linkRate, now: Self.zero)
        var now = min(Self.zero + AnswerPace.window, Self.zero + grace)
        for _ in 0..<10_000 {
            let passed = Self.zero.duration(to: now).inMilliseconds
            let state = answer(passed)
            var progress = HintProgress()
            (progress.isStarted, progress.isStopped, progress.clearedPages) = (state.started, state.stopped, state.skipped)
            switch headStart.observe(progress, now: now) {
            case .go: return passed.rounded()
            case .wait(let until):
                #expect(until > now, "it wants to be asked in the past")
                now = until
            }
        }
        Issue.record("it never ends")
        return .infinity
    }

    @Test func `A silent guest is given up after the answer time, or the grace`() {
        #expect(ends { _ in (false, false, 0) } == 200)
        #expect(ends(grace: .milliseconds(70)) { _ in (false, false, 0) } == 70)
        #expect(ends(grace: .zero) { _ in (false, false, 0) } == 0)
    }

    @Test func `A guest faster than the link is waited for until the grace is over, or it is done`() {
        // 4000 pages in 10 ms are 1.6 GB/s.
        #expect(ends { (true, false, Int($0 * 400)) } == 1000)
        #expect(ends { (true, $0 >= 300, Int($0 * 400)) } == 300)
    }

    @Test func `A guest slower than the link is left after three slow windows`() {
        #expect(ends { (true, false, Int($0 * 100)) } == 30)
    }

    @Test func `A guest that was fast and stands still is waited for as long as sending what it spared would take`() {
        // 42,000 pages at 10 Gbit/s take 138 ms.
        #expect(ends { (true, false, $0 < 105 ? Int($0 * 400) : 42_000) } == 140)
        #expect(ends { (true, false, $0 < 55 ? Int($0 * 800) : 44_000) } == 150)
        #expect(ends { (true, $0 > 195, $0 < 55 ? Int($0 * 800) : $0 < 130 ? 44_000 : Int($0 * 800)) } == 200)
    }

    @Test func `A slow link makes the same guest fast`() {
        #expect(ends(linkRate: 100e6) { (true, false, Int($0 * 100)) } == 1000)
    }

    /// When the waiting ends, in ms, and why: for a guest that reports 400 ms of sending in 50 ms, then nothing that would be sent, or
    /// little.
    private func ends(
        reports: Bool,
        trickle: Int = 0,
        _ observe: (_ reported: Int, _ useful: Int, ContinuousClock.Instant) -> AnswerPace.Verdict
    ) -> (after: Double, AnswerPace.Reason?) {
        for passed in stride(from: 10, through: 1000, by: 10) {
            let useful = min(passed, 50) * 2440 + max(0, passed - 50) * trickle
            let reported = reports ? min(passed, 50) * 2440 + max(0, passed - 50) * 200 : useful
            if case .go(let reason) = observe(reported, useful, Self.zero + .milliseconds(passed)) { return (Double(passed), reason) }
        }
        return (.infinity, nil)
    }

    private func surveyEnds(reports: Bool, trickle: Int = 0) -> (after: Double, AnswerPace.Reason?) {
        var patience = SurveyPatience(grace: .seconds(1), linkRate: nil, now: Self.zero)
        return ends(reports: reports, trickle: trickle) { reported, useful, now in
            var progress = SurveyProgress()
            (progress.isStarted, progress.reportedPages, progress.clearedPages) = (true, reported, useful)
            return patience.observe(progress, now: now)
        }
    }

    @Test func `A survey is not waited for where blocks come that nobody would have sent; hints are`() {
        #expect(surveyEnds(reports: true) == (80, .idle))
        #expect(surveyEnds(reports: true, trickle: 100) == (80, .idle))
        #expect(surveyEnds(reports: true, trickle: 150) == (740, .slow))
        // It stands still: perhaps its processor was taken away.
        #expect(surveyEnds(reports: false) == (400, .slow))
        var headStart = HeadStart(grace: .seconds(1), linkRate: nil, now: Self.zero)
        let hints = ends(reports: true) { reported, useful, now in
            var progress = HintProgress()
            (progress.isStarted, progress.reportedPages, progress.clearedPages) = (true, reported, useful)
            return headStart.observe(progress, now: now)
        }
        #expect(hints == (400, .slow))
    }

    @Test(arguments: [(0, 30), (60_000, 50), (1 << 30, 100)]
    )
    func `A survey of much memory is patient with a guest that reports first what never existed`(pagesAtStake: Int, ends: Int) {
        var patience = SurveyPatience(grace: .seconds(1), linkRate: nil, pagesAtStake: pagesAtStake, now: Self.zero)
        var progress = SurveyProgress()
        progress.isStarted = true
        for passed in stride(from: 10, through: ends, by: 10) {
            progress.reportedPages += 100
            let verdict = patience.observe(progress, now: Self.zero + .milliseconds(passed))
            #expect((verdict == .go(.idle)) == (passed == ends), "\(passed) ms")
        }
    }

    @Test func `One slow window is no slow guest`() {
        #expect(ends { (true, false, Int($0) / 30 * 12_000) } == 1000)
    }
}

@Suite struct RoundPlannerTests {
    private func planner(limit: Duration, bytes: Int = 100 << 20, harvest: Duration = .zero) -> RoundPlanner {
        var planner = RoundPlanner(downtimeLimit: limit)
        planner.recordRound(bytes: bytes, duration: .seconds(1))
        planner.recordHarvest(harvest)
        return planner
    }

    /// At 100 MiB/s, 25.6 pages take a millisecond.
    @Test(arguments: [
        (300, 7552, 0, true), (300, 7600, 0, false), (300, 7000, 100, false), (5, 65, 0, false), (5, 64, 0, true), (0, 0, 50, true),
    ]
    )
    func `The rest is switched over when it fits`(limit: Int, pages: Int, harvest: Int, switches: Bool) {
        let planner = planner(limit: .milliseconds(limit), harvest: .milliseconds(harvest))
        #expect((planner.decide(pendingPages: pages, sentPages: 0) == .switchOver) == switches)
    }

    /// At 100 MiB/s, 25.6 pages take a millisecond.
    @Test(arguments: [(1000, 2000, false), (1000, 1999, true), (25, 1_000_000, true), (65, 130, false), (65, 129, true), (64, 130, true)]
    )
    func `A rest that fits is sent in another round where less would be left`(pages: Int, sent: Int, switches: Bool) {
        let planner = planner(limit: .milliseconds(300))
        #expect((planner.decide(pendingPages: pages, sentPages: sent) == .switchOver) == switches)
    }

    @Test func `Where the timeout is near, a rest that fits is switched over`() {
        let planner = planner(limit: .milliseconds(300), harvest: .milliseconds(3))
        // 42 ms at 100 MiB/s and a harvest, twice.
        #expect(planner.decide(pendingPages: 1075, sentPages: 10_000, timeLeft: .milliseconds(100)) == .anotherRound)
        #expect(planner.decide(pendingPages: 1075, sentPages: 10_000, timeLeft: .milliseconds(85)) == .switchOver)
        #expect(planner.decide(pendingPages: 10_000, sentPages: 10_000, timeLeft: .milliseconds(1)) == .anotherRound)
    }

    @Test func `Another round must gain more than its harvest costs`() {
        let planner = planner(limit: .milliseconds(300), harvest: .milliseconds(20))
        #expect(planner.decide(pendingPages: 512, sentPages: 10_000) == .switchOver)
        #expect(planner.decide(pendingPages: 513, sentPages: 10_000) == .anotherRound)
    }

    @Test func `A rest that takes less than a round is switched over`() {
        let planner = planner(limit: .milliseconds(300), bytes: 1 << 30)
        #expect(planner.decide(pendingPages: 262, sentPages: 1_000_000) == .switchOver)
        #expect(planner.decide(pendingPages: 263, sentPages: 1_000_000) == .anotherRound)
    }

    @Test func `Short rounds say nothing about the link, long ones are smoothed`() {
        var planner = planner(limit: .zero)
        planner.recordRound(bytes: 1000, duration: .seconds(1))
        planner.recordRound(bytes: 1 << 30, duration: .zero)
        #expect(planner.bytesPerSecond == Double(100 << 20))
        planner.recordRound(bytes: 50 << 20, duration: .seconds(1))
        #expect(planner.bytesPerSecond == Double(75 << 20))
        planner.recordRound(bytes: 950 << 20, duration: .seconds(1))
        #expect(planner.bytesPerSecond == 906.25 * Double(1 << 20), "the larger round counts by its share")
    }

    @Test func `Estimates of absurd sizes do not trap`() {
        var planner = RoundPlanner(downtimeLimit: .seconds(2000))
        planner.recordRound(bytes: 1 << 20, duration: .seconds(1 << 30))
        #expect(planner.decide(pendingPages: 1 << 32, sentPages: 1 << 40) == .anotherRound)
        #expect(planner.expectedDowntime(pendingPages: 1 << 32) > .seconds(1000))
    }
}
