import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

/// A clock that stands until a test moves it.
final class StandingClock: Sendable {
    private let start = MonotonicClock.now()
    private let seconds = Locked(0)

    func advance(seconds: Int) { self.seconds.withLock { $0 += seconds } }

    var clock: BalloonClock {
        BalloonClock(
            now: { self.start + .seconds(self.seconds.withLock { $0 }) },
            wallMilliseconds: { UInt64(1_000_000 + 1000 * self.seconds.withLock { $0 }) }
        )
    }
}

@Suite struct StatisticsTests {
    typealias Bench = BalloonBench
    static let statistics = 2
    static let features: VirtioFeatures = [.version1, .statistics]
    /// Where the driver has its buffer.
    static let buffer: UInt64 = 0x2_0000

    private static func entry(_ tag: UInt16, _ value: UInt64) -> [UInt8] {
        (0..<2).map { UInt8(truncatingIfNeeded: tag >> (8 * $0)) } + (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    /// A device that works when the test says so, at the times that it says.
    private func standing(_ features: VirtioFeatures = features) throws -> (bench: BalloonBench, clock: StandingClock) {
        let clock = StandingClock()
        return (try Bench.live(features, hasThread: false, clock: clock.clock), clock)
    }

    private func queue(_ bench: BalloonBench, _ bytes: [UInt8], queue: Int = statistics) throws {
        try bench.memory.write(bytes, at: GuestAddress(Self.buffer))
        try bench.driver.rings[queue].send([
            VirtqueueSegment(address: GuestAddress(Self.buffer), length: UInt32(max(bytes.count, 1)), isWritable: false)
        ])
        bench.driver.kick(queue)
    }

    private func work(_ bench: BalloonBench) { while bench.device.serve() {} }

    /// How many buffers the driver has got back.
    private func returned(_ bench: BalloonBench, queue: Int = statistics) throws -> Int { Int(try bench.driver.rings[queue].usedIndex()) }

    @Test func `All sixteen values of Linux are told, unknown ones are counted, and absent ones are absent in the next report`() throws {
        let (bench, clock) = try standing()
        #expect(bench.device.guestStatistics == GuestStatistics())
        let all = GuestStatistics.Value.allCases
        #expect(all.map(\.rawValue) == Array(0...15))
        try queue(bench, all.reversed().flatMap { Self.entry($0.rawValue, 1 << 63 | UInt64($0.rawValue)) } + Self.entry(16, 1) + [1, 2, 3])
        work(bench)
        #expect(all.allSatisfy { bench.device.guestStatistics[$0] == 1 << 63 | UInt64($0.rawValue) })
        #expect(bench.device.guestStatistics.lastUpdateMilliseconds == 1_000_000)
        #expect((bench.counters.unknownTags, bench.counters.oddBytes) == (1, 3))
        #expect(try returned(bench) == 0, "the device keeps the buffer")
        clock.advance(seconds: 5)
        bench.device.requestStatistics()
        work(bench)
        #expect(try returned(bench) == 1)
        try queue(bench, Self.entry(4, 77) + Self.entry(4, 78))
        work(bench)
        var expected = GuestStatistics()
        expected[.freeMemory] = 78
        expected.lastUpdateMilliseconds = 1_005_000
        #expect(bench.device.guestStatistics == expected)
        #expect(try returned(bench) == 1, "once is once")
    }

    @Test func `A buffer with thousands of entries is read up to a bound, and one with none, or outside RAM, says nothing`() throws {
        let (bench, _) = try standing()
        try queue(bench, (0..<3000).flatMap { Self.entry(UInt16($0 >= 256 ? 5 : 4), UInt64($0)) })
        work(bench)
        #expect(bench.device.guestStatistics[.freeMemory] == 255)
        #expect(bench.device.guestStatistics[.totalMemory] == nil)
        #expect(bench.counters.surplusBytes == 2744 * 10)
        try queue(bench, [9])
        work(bench)
        #expect(bench.device.guestStatistics[.freeMemory] == nil)
        let outside = VirtqueueSegment(address: GuestAddress(1 << 50), length: 100, isWritable: false)
        let writable = VirtqueueSegment(address: GuestAddress(Self.buffer), length: 10, isWritable: true)
        for chain in [[outside], [writable]] {
            try bench.driver.rings[Self.statistics].send(chain)
            work(bench)
        }
        #expect((bench.counters.unreadableSegments, bench.counters.wrongWaySegments) == (1, 1))
        #expect(bench.device.fault == nil)
    }

    @Test func `Of two buffers the earlier one is given back at once`() throws {
        let (bench, _) = try standing()
        try queue(bench, Self.entry(4, 1))
        try queue(bench, Self.entry(4, 2))
        work(bench)
        #expect(try bench.driver.rings[Self.statistics].newUsed() == [RawRing.Used(id: 0, length: 0)])
        #expect(bench.counters.surplusStatisticsBuffers == 1)
        bench.device.requestStatistics()
        work(bench)
        #expect(try bench.driver.rings[Self.statistics].newUsed() == [RawRing.Used(id: 1, length: 0)])
    }

    @Test func `The guest is asked at once and then at each interval; one that does not answer is asked when it does`() throws {
        let (bench, clock) = try standing()
        try queue(bench, Self.entry(4, 1))
        work(bench)
        #expect(bench.device.wakesAt == nil)
        bench.device.setPollingInterval(seconds: 10)
        #expect(bench.device.pollingIntervalSeconds == 10)
        work(bench)
        #expect(try returned(bench) == 1)
        #expect(bench.device.wakesAt == nil, "nobody wakes up for a guest that does not answer")
        clock.advance(seconds: 4)
        try queue(bench, Self.entry(4, 2))
        work(bench)
        #expect(bench.device.wakesAt == bench.clockNow(clock) + .seconds(6))
        clock.advance(seconds: 5)
        work(bench)
        #expect(try returned(bench) == 1)
        clock.advance(seconds: 1)
        work(bench)
        #expect(try returned(bench) == 2)
        // It is silent for a minute.
        clock.advance(seconds: 60)
        work(bench)
        try queue(bench, Self.entry(4, 3))
        work(bench)
        #expect(bench.device.guestStatistics[.freeMemory] == 3)
        #expect(try returned(bench) == 3, "the interval has long been over")
        try queue(bench, Self.entry(4, 4))
        work(bench)
        bench.device.setPollingInterval(seconds: 0)
        clock.advance(seconds: 1000)
        work(bench)
        #expect(bench.device.wakesAt == nil)
        #expect(try returned(bench) == 3)
        #expect(bench.device.guestStatistics[.freeMemory] == 4, "the last values stay")
    }

    @Test func `A device that is parked asks nobody, and asks when it is let go`() throws {
        let (bench, clock) = try standing()
        bench.device.setPollingInterval(seconds: 10)
        for value in UInt64(0)..<2 {
            try queue(bench, Self.entry(4, value))
            work(bench)
        }
        #expect(try returned(bench) == 1)
        bench.slot.park()
        clock.advance(seconds: 100)
        #expect(!bench.device.serve())
        #expect(bench.device.wakesAt == nil)
        #expect(try returned(bench) == 1)
        bench.slot.unpark()
        work(bench)
        #expect(try returned(bench) == 2)
    }

    @Test(arguments: [1, 2])
    func `The buffer that is held goes on being held where the guest arrives, and statistics go on`(moves: Int) throws {
        let (source, clock) = try standing()
        source.device.setPollingInterval(seconds: 10)
        work(source)
        try queue(source, Self.entry(4, 1))
        work(source)
        try queue(source, Self.entry(4, 2))
        work(source)
        #expect(try returned(source) == 1)
        clock.advance(seconds: 3)
        var bench = source
        for _ in 0..<moves {
            bench.slot.park()
            let destination = try BalloonBench(memory: source.memory, hasThread: false, clock: clock.clock)
            destination.slot.park()
            try destination.slot.restoreState(bench.slot.saveState())
            bench = destination
        }
        bench.driver.rings = source.driver.rings
        #expect(bench.device.pollingIntervalSeconds == 10)
        bench.slot.unpark()
        work(bench)
        #expect(bench.device.guestStatistics[.freeMemory] == 2)
        #expect(bench.device.guestStatistics.lastUpdateMilliseconds == 1_000_000, "it was said before the move")
        #expect(try returned(bench) == 1)
        clock.advance(seconds: 10)
        work(bench)
        #expect(try returned(bench) == 2)
        try queue(bench, Self.entry(4, 3))
        work(bench)
        #expect(bench.device.guestStatistics.lastUpdateMilliseconds == 1_013_000)
        #expect(bench.device.guestStatistics[.freeMemory] == 3)
    }

    @Test func `A request that is under way when the guest moves is answered where it arrives`() throws {
        let (source, clock) = try standing()
        try queue(source, Self.entry(4, 1))
        work(source)
        source.device.setPollingInterval(seconds: 2)
        work(source)
        source.slot.park()
        let destination = try BalloonBench(memory: source.memory, hasThread: false, clock: clock.clock)
        destination.slot.park()
        try destination.slot.restoreState(source.slot.saveState())
        destination.driver.rings = source.driver.rings
        destination.slot.unpark()
        work(destination)
        clock.advance(seconds: 1)
        try queue(destination, Self.entry(4, 2))
        work(destination)
        #expect(destination.device.guestStatistics[.freeMemory] == 2)
        #expect(destination.device.guestStatistics.lastUpdateMilliseconds == 1_001_000)
        clock.advance(seconds: 2)
        work(destination)
        #expect(try returned(destination) == 2)
    }

    @Test(arguments: [false, true])
    func `A reset, and a queue that is taken back, forget the buffer; the next driver is polled as before`(byQueue: Bool) throws {
        let (bench, clock) = try standing()
        bench.device.setPollingInterval(seconds: 1)
        work(bench)
        try queue(bench, Self.entry(4, 1))
        work(bench)
        try queue(bench, Self.entry(4, 2))
        work(bench)
        if byQueue {
            bench.transport.write(.queueSelect, UInt32(Self.statistics))
            bench.transport.write(.queueReady, 0)
        }
        let used = try returned(bench)
        clock.advance(seconds: 100)
        if byQueue {
            work(bench)
            #expect(try returned(bench) == used)
        }
        try bench.driver.start(Self.features)
        work(bench)
        #expect(try returned(bench) == 0)
        try queue(bench, Self.entry(4, 3))
        work(bench)
        clock.advance(seconds: 1)
        work(bench)
        #expect(try returned(bench) == 1)
    }

    @Test func `The device's thread asks when the time has come, and does not wake up otherwise`() throws {
        let bench = try Bench.live(Self.features)
        try queue(bench, Self.entry(4, 1))
        bench.device.setPollingInterval(seconds: 3600)
        try bench.line.wait(until: { try returned(bench) == 1 }, "a request")
        try queue(bench, Self.entry(4, 2))
        bench.device.setPollingInterval(seconds: 1)
        try bench.line.wait(until: { try returned(bench) == 2 }, "a request after a second")
        let steps = bench.device.steps
        HostThread.sleep(for: .milliseconds(1500))
        #expect(bench.device.steps == steps, "the guest does not answer")
    }

    @Test func `Where statistics were not negotiated their queue is another's, and nothing is asked`() throws {
        let (bench, _) = try standing([.version1, .reporting])
        bench.device.setPollingInterval(seconds: 1)
        bench.device.requestStatistics()
        work(bench)
        #expect(bench.device.wakesAt == nil)
        #expect(bench.counters.statisticsBuffers == 0)
    }
}

extension BalloonBench {
    fileprivate func clockNow(_ clock: StandingClock) -> MonotonicClock.Instant { clock.clock.now() }
}
