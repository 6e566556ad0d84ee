import AerostatBalloon
import AerostatGuestMemory
import AerostatVirtio
import TestSupport
import Testing

/// The balloon over memory of huge pages: only whole ones go back to the host.
@Suite(.enabled(if: TestBacking.hostHasHugePages, "needs 16 free huge pages: echo 32 > /proc/sys/vm/nr_hugepages"))
struct HugePageTests {
    typealias Bench = BalloonBench
    static let unit = 512

    private func bench(_ backing: TestBacking, tells: Bool) throws -> (bench: BalloonBench, backed: BackedMemory) {
        let backed = try BackedMemory(backing, pages: 8 * Self.unit)
        let options = BalloonOptions(offersMustTellHost: true)
        let bench = try Bench.live(tells ? [.version1, .mustTellHost] : [.version1], options: options, memory: backed.memory)
        try bench.populate(count: 3 * Self.unit)
        return (bench, backed)
    }

    private func resident(_ backed: BackedMemory, _ huge: Int) -> Int {
        backed.residentPages(in: PageRun(first: PageIndex(Int(Bench.dataFrame) + huge * Self.unit), count: Self.unit))
    }

    private static func frames(_ range: Range<Int>) -> [UInt32] { range.map { Bench.dataFrame + UInt32($0) } }

    @Test(
        arguments: [TestBacking.hugePages, .adoptedHugeFile]
    )
    func `A driver that tells has a huge page given back with the last of its parts, and not before`(backing: TestBacking) throws {
        let (bench, backed) = try bench(backing, tells: true)
        try bench.send(Self.frames(0..<256), Bench.inflate)
        #expect(resident(backed, 0) == Self.unit)
        #expect(
            try bench.content(count: 257) == [UInt8](repeating: 0, count: 256) + [0x5A],
            "a part is cleared, and the rest is left alone"
        )
        // Taken out again: it does not count.
        try bench.send(Self.frames(0..<1), Bench.deflate)
        try bench.send(Self.frames(256..<512), Bench.inflate)
        #expect(resident(backed, 0) == Self.unit)
        #expect(bench.counters.completedHugePages == 0)
        try bench.send(Self.frames(0..<1), Bench.inflate)
        #expect(resident(backed, 0) == 0)
        #expect(bench.counters.completedHugePages == 1)
        #expect(resident(backed, 1) == Self.unit)
        #expect(try bench.content(Bench.dataFrame + 512, count: 1) == [0x5A])
    }

    @Test func `Without the promise to tell, a huge page is given back only where one buffer names all of it`() throws {
        let (bench, backed) = try bench(.hugePages, tells: false)
        try bench.send(Self.frames(0..<256), Bench.inflate)
        try bench.send(Self.frames(256..<512), Bench.inflate)
        #expect(resident(backed, 0) == Self.unit)
        #expect(bench.counters.clearedPages == 512)
        try bench.send(Self.frames(512 - 3..<1024 + 5), Bench.inflate)
        #expect(resident(backed, 1) == 0)
        #expect(resident(backed, 2) == Self.unit)
        #expect(bench.counters.givenBackPages == 512)
    }

    @Test func `A reset forgets the parts`() throws {
        let (bench, backed) = try bench(.hugePages, tells: true)
        try bench.send(Self.frames(0..<256), Bench.inflate)
        try bench.driver.start([.version1, .mustTellHost])
        try bench.memory.fill(0x77, at: GuestAddress(Bench.data), byteCount: 4096)
        try bench.send(Self.frames(256..<512), Bench.inflate)
        #expect(resident(backed, 0) == Self.unit)
        #expect(try bench.content(count: 1) == [0x77])
    }
}
