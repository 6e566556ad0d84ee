import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

@Suite struct ReportTests {
    typealias Bench = BalloonBench
    static let reports = 2
    static let features: VirtioFeatures = [.version1, .reporting]

    private func report(_ bench: BalloonBench, _ blocks: (address: UInt64, byteCount: UInt32)..., queue: Int = reports) throws {
        try bench.driver.hint(blocks, queue: queue)
        #expect(try bench.driver.settle(queue: queue).map(\.length) == [0])
    }

    @Test func `Reported blocks are given back before their buffer is, all of a chain`() throws {
        let bench = try Bench.live(Self.features)
        try bench.populate(count: 1024)
        let witness = DiscardWitness(bench.memory, bench.driver.rings[Self.reports])
        defer { witness.end() }
        try report(bench, (Bench.data, 2 << 20), (Bench.secondRegion, 4096), (Bench.data + 0x20_0000, 0x10_0000))
        #expect(try bench.content(count: 1024) == [UInt8](repeating: 0, count: 768) + [UInt8](repeating: 0x5A, count: 256))
        #expect(witness.usedIndices == [0, 0, 0])
        var expected = BalloonCounters()
        (expected.reportBuffers, expected.reportedPages, expected.givenBackPages) = (1, 769, 769)
        #expect(bench.counters == expected)
        #expect(bench.device.status.balloonedPages == 0)
        #expect((bench.device.balloonFigures.balloonedPages, bench.device.balloonFigures.reportedPages) == (0, 769))
    }

    @Test func `Blocks that are not whole pages in RAM, or hold a ring, are counted, and nothing else is touched`() throws {
        let bench = try Bench.live(Self.features)
        try bench.populate(count: 4)
        let half = Bench.memoryBytes / 2
        let witness = DiscardWitness(bench.memory)
        defer { witness.end() }
        try report(bench, (half, 0x1000), (half - 0x1000, 0x2000), (Bench.data + 1, 0x1000), (Bench.data, 0x800), (.max - 0xFFF, .max))
        #expect(witness.runs.isEmpty)
        #expect(bench.counters.refusedReports == 5)
        // The rings lie in the middle of it.
        try report(bench, (0, 0x40_0000))
        #expect(bench.counters.ownPages > 0)
        #expect(bench.counters.reportedPages == 1024 - bench.counters.ownPages)
        try bench.driver.command([1, 2, 3, 4], queue: Self.reports)
        _ = try bench.driver.settle(queue: Self.reports)
        #expect(bench.counters.wrongWaySegments == 1)
        #expect(try bench.content(count: 4) == [0x5A, 0x5A, 0x5A, 0x5A])
        #expect(bench.device.fault == nil)
    }

    @Test func `The largest report there can be is done in pieces, and the device can be parked between them`() throws {
        let memory = try GuestRAM(regionTable(pages: 1 << 20))
        let bench = try Bench.live(Self.features, memory: memory, hasThread: false)
        try bench.driver.hint([(address: 1 << 28, byteCount: .max - 0xFFF), (address: 1 << 28, byteCount: 3 << 30)], queue: Self.reports)
        var steps = 0
        while bench.device.serve() {
            steps += 1
            if steps == 3 {
                bench.slot.park()
                #expect(!bench.device.serve())
                #expect(bench.device.queuePositions[Self.reports] == VirtqueuePosition())
                bench.slot.unpark()
            }
        }
        #expect(bench.counters.refusedReports == 1)
        #expect(bench.counters.reportedPages == 3 << 18)
        #expect(steps >= 3 << 18 / 4096)
    }

    @Test func `While memory is pinned, reported blocks stay as they are`() throws {
        let bench = try Bench.live(Self.features)
        try bench.populate(count: 2)
        let pin = bench.device.inhibit("a snapshot is taken")
        try report(bench, (Bench.data, 0x1000))
        #expect(try bench.content(count: 1) == [0x5A])
        pin.cancel()
        try report(bench, (Bench.data, 0x1000))
        #expect(try bench.content(count: 2) == [0, 0x5A])
        #expect((bench.counters.reportedPages, bench.counters.inhibitedPages, bench.counters.givenBackPages) == (2, 1, 1))
    }

    @Test func `Without the feature there is no queue for it, and hints are hints`() throws {
        let bench = try Bench.ready([.version1, .freePageHint])
        try bench.populate(count: 1)
        _ = try bench.open()
        try bench.send((Bench.data, 0x1000))
        try bench.settle()
        #expect(try bench.content(count: 1) == [0x5A])
        #expect(bench.counters.reportBuffers == 0)
    }
}

@Suite struct PoisonTests {
    typealias Bench = BalloonBench
    static let features: VirtioFeatures = [.version1, .freePageHint, .pagePoison, .reporting]
    static let reports = 3

    /// As Linux's driver: negotiates, writes the value where it does so, and is ready.
    private func start(_ bench: BalloonBench, _ features: VirtioFeatures = features, writing poison: UInt64?) throws {
        try bench.driver.start(features, poison: poison)
    }

    /// Whether a report is carried out.
    private func reportIsCarriedOut(_ bench: BalloonBench, queue: Int = reports) throws -> Bool {
        try bench.populate(count: 1)
        try bench.driver.hint([(address: Bench.data, byteCount: 0x1000)], queue: queue)
        _ = try bench.driver.settle(queue: queue)
        return try bench.content(count: 1) == [0]
    }

    @Test func `Free pages that the guest has filled stay as they are when reported, are no hints, and go into the balloon`() throws {
        let bench = try BalloonBench()
        try start(bench, writing: 0xAAAA_AAAA)
        #expect(bench.device.poison == 0xAAAA_AAAA)
        #expect(try !reportIsCarriedOut(bench))
        #expect(bench.counters.poisonedPages == 1)
        #expect(!bench.device.isAvailable)
        let id = bench.device.begin(reportingTo: bench.sink)
        #expect(bench.sink.events == [.stopped(id)])
        // The driver fills what it takes out again.
        try bench.send([Bench.dataFrame], Bench.inflate)
        #expect(try bench.content(count: 1) == [0])
    }

    @Test func `Pages filled with zeros are given back and are hints`() throws {
        let bench = try BalloonBench()
        try start(bench, writing: 0)
        #expect(bench.device.poison == 0)
        #expect(bench.device.isAvailable)
        #expect(try reportIsCarriedOut(bench))
    }

    @Test func `A value without the feature counts for nothing, and one that comes late is counted`() throws {
        let bench = try BalloonBench()
        try start(bench, [.version1, .freePageHint, .reporting], writing: 0xAAAA_AAAA)
        #expect(bench.device.poison == nil)
        #expect(bench.device.isAvailable)
        #expect(try reportIsCarriedOut(bench))
        try start(bench, writing: 0)
        bench.transport.write(offset: 0x10C, width: 4, value: 0xAAAA_AAAA)
        #expect(bench.device.poison == 0)
        #expect(bench.counters.refusedWrites == 1)
        #expect(try reportIsCarriedOut(bench))
    }

    @Test func `A guest that resumes from suspend says nothing, and its free pages are filled still; a new value replaces the old`() throws
    {
        let bench = try BalloonBench()
        try start(bench, writing: 0xAAAA_AAAA)
        try start(bench, writing: nil)
        #expect(bench.driver.configuration(12) == 0)
        #expect(bench.device.poison == 0xAAAA_AAAA)
        #expect(try !reportIsCarriedOut(bench))
        #expect(!bench.device.isAvailable)
        // It goes on where the guest arrives, too, resumed or not.
        bench.slot.park()
        let destination = try BalloonBench(memory: bench.memory)
        destination.slot.park()
        try destination.slot.restoreState(bench.slot.saveState())
        #expect(destination.device.poison == 0xAAAA_AAAA)
        destination.slot.unpark()
        try start(destination, writing: nil)
        #expect(destination.device.poison == 0xAAAA_AAAA)
        try start(destination, writing: 0)
        #expect(destination.device.poison == 0)
        #expect(destination.device.isAvailable)
    }
}
