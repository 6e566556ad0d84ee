import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import TestSupport
import Testing

/// Whether this kernel can track by `PAGEMAP_SCAN`.
let trackers: [TrackerKind] = {
    guard let memory = try? GuestRAM(regionTable(pages: 1)), (try? PagemapScanTracker(memory)) != nil else { return [.software] }
    return [.software, .pagemapScan]
}()

@Suite(.serialized) struct MigrationTests {
    @Test(arguments: trackers, [false, true])
    func `A guest that writes arrives whole`(tracker: TrackerKind, plainRing: Bool) throws {
        var setup = Pair.Setup(tracker: tracker, writing: 8, working: 100..<1900, filled: 0..<1600, plainRing: plainRing)
        setup.parameters.verifies = true
        setup.parameters.downtimeLimit = .milliseconds(7)
        let pair = try Pair(setup)
        #expect(try pair.run() == .completed)
        #expect(pair.destinationOutcome() == .running(guestRuns: true))
        #expect(pair.source.isRunning == false && pair.destination?.isRunning == true)
        #expect(try pair.differences() == [])
        #expect(pair.destination?.sections == pair.source.sections)
        let report = pair.migration.report
        #expect(report.verify?.status == .passed)
        #expect(report.status == .completed && report.absentPages > 0)
        expectCountersAddUp(report)
        pair.end()
    }

    /// A guest that takes free pages back and writes them all the time, on a slow link, for some time.
    private static func hinting(_ tracker: TrackerKind, _ script: ScriptedHinting.Script) -> Pair.Setup {
        var setup = Pair.Setup(tracker: tracker, writing: 24, working: 0..<1200, hints: script, free: 400..<1900)
        setup.parameters.verifies = true
        setup.parameters.downtimeLimit = .milliseconds(6)
        setup.parameters.bandwidthLimit = 60 << 20
        setup.parameters.timeout = .milliseconds(600)
        setup.parameters.onTimeout = .pause
        return setup
    }

    @Test(arguments: trackers, [1, 2, 3] as [UInt64])
    func `Free pages do not travel, and those taken back do`(tracker: TrackerKind, seed: UInt64) throws {
        var setup = Self.hinting(tracker, .honest)
        setup.seed = seed
        let pair = try Pair(setup)
        #expect(try pair.run() == .completed)
        #expect(pair.destinationOutcome() == .running(guestRuns: true))
        #expect(try pair.differences() == [], "seed \(seed)")
        let report = pair.migration.report
        #expect(report.freePageHints.skippedPages >= 700, "\(report.freePageHints)")
        #expect(pair.hinting?.doneCount ?? 0 > 0)
        expectCountersAddUp(report, isInterrupted: pair.statuses.withLock { $0.contains(.pausedByTimeout) })
        pair.end()
    }

    @Test(arguments: trackers)
    func `A guest that clears its free pages is asked before the tracker is armed, once, and they travel as zeros`(tracker: TrackerKind)
        throws
    {
        // The guest takes pages back while they are cleared, before and after the tracker is armed.
        var setup = Self.hinting(tracker, .clearing)
        setup.parameters.smallestSurveyedPages = 1
        for seed in 1...3 as ClosedRange<UInt64> {
            setup.seed = seed
            let pair = try Pair(setup)
            #expect(try pair.run() == .completed)
            #expect(try pair.differences() == [], "seed \(seed)")
            let report = pair.migration.report
            let hints = report.freePageHints
            #expect(hints.commands == 1 && hints.skippedPages == 0, "\(hints)")
            #expect(hints.reportedPages >= 1200 && hints.zeroedPages >= 700 && hints.zeroedPages <= hints.redirtiedPages, "\(hints)")
            #expect(report.ram.duplicate >= hints.zeroedPages)
            expectCountersAddUp(report, isInterrupted: pair.statuses.withLock { $0.contains(.pausedByTimeout) })
            pair.end()
        }
    }

    @Test(arguments: trackers)
    func `A guest that does not clear its memory gives its hints after the tracker is armed`(tracker: TrackerKind) throws {
        var setup = Pair.Setup(tracker: tracker, writing: 24, working: 0..<1200, hints: .honest, free: 400..<1900)
        setup.parameters.smallestSurveyedPages = 1
        setup.parameters.verifies = true
        let pair = try Pair(setup)
        #expect(try pair.run() == .completed)
        #expect(try pair.differences() == [])
        let hints = pair.migration.report.freePageHints
        #expect(hints.commands >= 2 && hints.skippedPages >= 700, "\(hints)")
        #expect(hints.headStart < 100, "the release of the survey's blocks takes long")
        pair.end()
    }

    @Test(arguments: trackers)
    func `Hints that continue after stop and done lose nothing`(tracker: TrackerKind) throws {
        var setup = Pair.Setup(tracker: tracker, writing: 24, working: 0..<2048, hints: .late, free: 0..<2048)
        setup.parameters.verifies = true
        setup.parameters.downtimeLimit = .milliseconds(6)
        setup.parameters.bandwidthLimit = 100 << 20
        setup.parameters.timeout = .milliseconds(600)
        setup.parameters.onTimeout = .pause
        setup.parameters.hintGrace = .milliseconds(1)
        let pair = try Pair(setup)
        #expect(try pair.run() == .completed)
        #expect(try pair.differences() == [])
        pair.end()
    }

    @Test func `A guest that never answers is waited for within bounds`() throws {
        let pair = try Pair(Pair.Setup(hints: .silent, free: 0..<1000))
        #expect(try pair.run() == .completed)
        #expect(try pair.differences() == [])
        let waited = pair.migration.report.freePageHints.headStart
        #expect((190...600).contains(waited), "\(waited) ms")
        pair.end()
    }

    @Test func `Without grace there is no wait for hints`() throws {
        var setup = Pair.Setup(hints: .silent, free: 0..<1000)
        setup.parameters.hintGrace = .zero
        let pair = try Pair(setup)
        #expect(try pair.run() == .completed)
        #expect(pair.migration.report.freePageHints.headStart < 8)
        pair.end()
    }

    @Test func `A paused guest arrives paused`() throws {
        let pair = try Pair(Pair.Setup(hints: .honest, free: 0..<100, paused: true))
        #expect(try pair.run() == .completed)
        #expect(pair.destinationOutcome() == .running(guestRuns: false))
        #expect(pair.source.isRunning == false && pair.destination?.isRunning == false)
        #expect(pair.hinting?.statistics.commands == 0)
        #expect(try pair.differences() == [])
        pair.end()
    }

    @Test(arguments: [30, 90, 150, 210])
    func `Timeout with pause in the middle of a batch loses no page`(milliseconds: Int) throws {
        var setup = Pair.Setup(writing: 40, working: 0..<2048)
        setup.parameters.verifies = true
        setup.parameters.bandwidthLimit = 10 << 20
        setup.parameters.downtimeLimit = .milliseconds(6)
        setup.parameters.timeout = .milliseconds(milliseconds)
        setup.parameters.onTimeout = .pause
        let pair = try Pair(setup)
        #expect(try pair.run() == .completed)
        #expect(try pair.differences() == [])
        #expect(pair.statuses.withLock { $0 }.contains(.pausedByTimeout))
        pair.end()
    }

    @Test func `Timeout with cancel leaves the guest running here`() throws {
        var setup = Pair.Setup(writing: 40, working: 0..<2048, hints: .honest, free: 0..<64)
        setup.parameters.bandwidthLimit = 10 << 20
        setup.parameters.timeout = .milliseconds(120)
        let pair = try Pair(setup)
        guard case .cancelled = try pair.run() else {
            Issue.record("\(pair.migration.report)")
            return
        }
        expectGuestIsHere(pair)
        #expect(pair.migration.report.status == .cancelled)
        pair.end()
    }

    @Test func `The bandwidth limit is roughly kept`() throws {
        var setup = Pair.Setup(pages: 1024, filled: 0..<1024)
        setup.parameters.bandwidthLimit = 16 << 20
        let pair = try Pair(setup)
        let start = MonotonicClock.now()
        #expect(try pair.run() == .completed)
        let seconds = start.duration(to: MonotonicClock.now()).inSeconds
        let expected = Double(pair.migration.report.ram.transferred) / Double(16 << 20)
        #expect((expected * 0.8...expected * 1.6 + 0.2).contains(seconds), "\(seconds) s where \(expected) s were due")
        pair.end()
    }

    @Test func `A migration over TCP arrives at the listener`() throws {
        var setup = Pair.Setup(writing: 8, working: 0..<500)
        setup.parameters.verifies = true
        let pair = try Pair(setup)
        let listener = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0))
        try pair.migration.start(to: .socket(listener.address))
        guard let connection = try listener.accept(unlessRung: try Doorbell()) else { preconditionFailure("nobody rang") }
        try pair.startDestination(connection.release())
        #expect(pair.migration.wait() == .completed)
        #expect(try pair.differences() == [])
        pair.end()
    }
}

/// Checks that the sums over rounds are the totals.
/// - Parameter isInterrupted: whether a timeout ended a round early, so that the next round did the rest.
func expectCountersAddUp(_ report: MigrationReport, isInterrupted: Bool = false) {
    #expect(report.rounds.reduce(0) { $0 + $1.normalPages } == report.ram.normal)
    #expect(report.rounds.reduce(0) { $0 + $1.zeroPages } == report.ram.duplicate)
    #expect(report.ram.normalBytes == report.ram.normal * 4096)
    #expect(report.ram.precopyBytes + report.ram.downtimeBytes == report.ram.transferred)
    #expect(report.rounds.last?.paused == true && report.rounds.filter(\.paused).count == 1)
    #expect(report.ram.remaining == 0)
    #expect(report.ram.transferred >= report.ram.normalBytes)
    for round in report.rounds {
        let done = round.normalPages + round.zeroPages + round.clearedPages
        #expect(isInterrupted ? done <= round.pendingPages : done == round.pendingPages, "round \(round.number)")
    }
    guard !isInterrupted else { return }
    for (round, next) in zip(report.rounds, report.rounds.dropFirst()) {
        // The pages that a round leaves are pages that it dirtied. Only hints may have removed some.
        #expect(next.pendingPages <= round.dirtiedPages, "round \(next.number)")
    }
}
