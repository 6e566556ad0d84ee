import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatVirtio
import Glibc
import TestSupport
import Testing

// What a driver does with the balloon's pages.
extension BalloonBench {
    static let inflate = 0
    static let deflate = 1
    /// Where drivers write page numbers.
    static let numbers: UInt64 = 0x3_0000
    /// The first page that the tests use for data, and its number.
    static let data: UInt64 = 0x40_0000
    static let dataFrame = UInt32(data >> 12)

    /// With a driver for the balloon's pages.
    static func live(
        _ features: VirtioFeatures = [.version1],
        options: BalloonOptions = BalloonOptions(),
        memory: GuestRAM? = nil,
        hasThread: Bool = true,
        clock: BalloonClock = .host
    ) throws -> BalloonBench {
        let bench = try BalloonBench(options: options, memory: memory, hasThread: hasThread, clock: clock)
        try bench.driver.start(features)
        return bench
    }

    static func littleEndian(_ numbers: [UInt32]) -> [UInt8] {
        numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
    }

    /// Queues page numbers, in one segment or in segments of so many bytes.
    func queue(_ bytes: [UInt8], _ queue: Int, segmentBytes: Int = .max) throws {
        try memory.write(bytes, at: GuestAddress(Self.numbers))
        let segments = stride(from: 0, to: bytes.count, by: min(segmentBytes, bytes.count)).map { offset in
            VirtqueueSegment(
                address: GuestAddress(Self.numbers + UInt64(offset)),
                length: UInt32(min(segmentBytes, bytes.count - offset)),
                isWritable: false
            )
        }
        try driver.rings[queue].send(segments)
        driver.kick(queue)
    }

    /// Sends page numbers, and waits until they are given back, with nothing written.
    func send(_ numbers: [UInt32], _ queue: Int) throws {
        try self.queue(Self.littleEndian(numbers), queue)
        #expect(try driver.settle(queue: queue).map(\.length) == [0])
    }

    /// Fills pages with something.
    func populate(_ frame: UInt32 = dataFrame, count: Int) throws {
        try memory.fill(0x5A, at: GuestAddress(UInt64(frame) << 12), byteCount: count << 12)
    }

    /// The first byte of each page.
    func content(_ frame: UInt32 = dataFrame, count: Int) throws -> [UInt8] {
        try (0..<UInt64(count)).map { try memory.load(UInt8.self, at: GuestAddress((UInt64(frame) + $0) << 12)) }
    }

    /// Locks the first data pages in the host's memory: the kernel does not take them back then.
    func lock(count: Int) throws {
        let run = PageRun(first: PageIndex(Int(Self.dataFrame)), count: count)
        try #require(unsafe mlock(memory.hostAddress(of: run), run.byteCount) == 0)
    }

    var counters: BalloonCounters { device.status.counters }
}

/// Hears of discards: which, and what stood in the used ring then.
final class DiscardWitness: DiscardSubscriber {
    private let heard = Locked<[(run: PageRun, used: UInt16)]>([])
    private let ring: RawRing?
    private var subscription: DiscardSubscription? { kept.withLock { $0 } }
    private let kept = Locked<DiscardSubscription?>(nil)

    /// - Parameter ring: whose used index is looked at.
    init(_ memory: GuestRAM, _ ring: RawRing? = nil) {
        self.ring = ring
        let subscription = memory.subscribe(self)
        kept.withLock { $0 = subscription }
    }

    var runs: [PageRun] { heard.withLock { $0.map(\.run) } }
    var usedIndices: [UInt16] { heard.withLock { $0.map(\.used) } }
    func end() { subscription?.cancel() }

    func willDiscard(_ run: PageRun) {}
    func failedToDiscard(_ run: PageRun) {}
    func didDiscard(_ run: PageRun) {
        let used = (try? ring?.usedIndex()) ?? 0
        heard.withLock { $0.append((run, used)) }
    }
}
