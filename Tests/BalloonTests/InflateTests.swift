import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatVirtio
import TestSupport
import Testing

@Suite struct InflateTests {
    typealias Bench = BalloonBench
    static let first = Bench.dataFrame

    @Test func `Inflated pages are given back before their buffer is, and read as zero; deflated ones are the guest's again`() throws {
        let bench = try Bench.live()
        try bench.populate(count: 300)
        let witness = DiscardWitness(bench.memory, bench.driver.rings[Bench.inflate])
        defer { witness.end() }
        try bench.send((0..<256).map { Self.first + $0 }, Bench.inflate)
        #expect(try bench.content(count: 300) == [UInt8](repeating: 0, count: 256) + [UInt8](repeating: 0x5A, count: 44))
        #expect(witness.usedIndices == [0], "a page was given back behind its buffer")
        #expect(bench.device.status.balloonedPages == 256)
        #expect(bench.device.ballooned.contains(PageIndex(Int(Self.first) + 255)))
        try bench.send((0..<200).map { Self.first + $0 }, Bench.deflate)
        #expect(bench.device.status.balloonedPages == 56)
        #expect(!bench.device.ballooned.contains(PageIndex(Int(Self.first) + 199)))
        var expected = BalloonCounters()
        (expected.inflateBuffers, expected.deflateBuffers) = (1, 1)
        (expected.inflatedPages, expected.deflatedPages, expected.givenBackPages) = (256, 200, 256)
        #expect(bench.counters == expected)
    }

    @Test func `Page numbers in any order are joined: one discard for each run`() throws {
        let bench = try Bench.live()
        let witness = DiscardWitness(bench.memory)
        defer { witness.end() }
        var random = SeededGenerator(seed: 7)
        let numbers = (0..<256).map { Self.first + $0 + ($0 >= 100 ? 1 : 0) }.shuffled(using: &random)
        try bench.send(numbers, Bench.inflate)
        let page = PageIndex(Int(Self.first))
        #expect(witness.runs == [PageRun(first: page, count: 100), PageRun(first: page + 101, count: 156)])
    }

    @Test(
        arguments: [1, 2, 3, 5, 7, 64, 1000]
    )
    func `Page numbers that lie across descriptors, and ten thousand in one buffer, all count`(segmentBytes: Int) throws {
        let bench = try Bench.live()
        let count = segmentBytes < 1000 ? segmentBytes * 14 : 10_000
        let numbers = (0..<UInt32(count)).map { Self.first + $0 % 1024 }
        try bench.queue(Bench.littleEndian(numbers), Bench.inflate, segmentBytes: segmentBytes)
        #expect(try bench.driver.settle(queue: Bench.inflate).count == 1)
        #expect(bench.device.status.balloonedPages == min(count, 1024))
        #expect(bench.counters.inflatedPages + bench.counters.repeatedPages == count)
    }

    @Test func `Numbers outside RAM, in the hole, twice, of a ring and of their own buffer are counted, and nothing else is touched`()
        throws
    {
        let bench = try Bench.live()
        try bench.populate(count: 4)
        let witness = DiscardWitness(bench.memory)
        defer { witness.end() }
        let hole = UInt32((Bench.memoryBytes / 2) >> 12)
        let numbers: [UInt32] = [
            .max, hole, 0x7FFF_FFFF, 0x8000_0000, Self.first, Self.first, 0x10, UInt32(Bench.numbers >> 12),
            UInt32(Bench.secondRegion >> 12),
        ]
        try bench.queue(Bench.littleEndian(numbers) + [1, 2, 3], Bench.inflate)
        #expect(try bench.driver.settle(queue: Bench.inflate).count == 1)
        var expected = BalloonCounters()
        (expected.inflateBuffers, expected.inflatedPages, expected.givenBackPages) = (1, 2, 2)
        (expected.outsidePages, expected.repeatedPages, expected.ownPages, expected.oddBytes) = (4, 1, 2, 3)
        #expect(bench.counters == expected)
        let second = PageIndex(Int(hole))
        #expect(witness.runs == [PageRun(first: PageIndex(Int(Self.first)), count: 1), PageRun(first: second, count: 1)])
        // Again, and out of the balloon what was never in it.
        try bench.send([Self.first], Bench.inflate)
        try bench.send([Self.first, Self.first + 1], Bench.deflate)
        #expect(bench.counters.repeatedPages == 2)
        #expect((bench.counters.deflatedPages, bench.counters.unknownPages) == (1, 1))
        #expect(try bench.content(count: 4) == [0, 0x5A, 0x5A, 0x5A])
        #expect(bench.device.fault == nil)
    }

    @Test func `Buffers that lie outside RAM, or are to be written, are given back and counted`() throws {
        let bench = try Bench.live()
        try bench.populate(count: 8)
        let outside = VirtqueueSegment(address: GuestAddress(1 << 40), length: 1024, isWritable: false)
        try bench.memory.write(Bench.littleEndian([Self.first]), at: GuestAddress(Bench.numbers))
        let inside = VirtqueueSegment(address: GuestAddress(Bench.numbers), length: 4, isWritable: false)
        let block = VirtqueueSegment(address: GuestAddress(Bench.data + 0x1000), length: 0x1000, isWritable: true)
        try bench.memory.write(Bench.littleEndian([Self.first + 5]), at: GuestAddress(Bench.numbers + 4))
        let behind = VirtqueueSegment(address: GuestAddress(Bench.numbers + 4), length: 4, isWritable: false)
        for chain in [[inside, outside, behind], [outside], [block], [inside, block]] {
            try bench.driver.rings[Bench.inflate].send(chain)
        }
        bench.driver.kick(Bench.inflate)
        #expect(try bench.driver.settle(queue: Bench.inflate).map(\.length) == [0, 0, 0, 0])
        #expect((bench.counters.unreadableSegments, bench.counters.wrongWaySegments) == (3, 2))
        #expect(bench.device.status.balloonedPages == 1)
        #expect(try bench.content(count: 3) == [0, 0x5A, 0x5A])
    }

    @Test func `More numbers than are read of one buffer are counted, and it is given back`() throws {
        let bench = try Bench.live(hasThread: false)
        // 64 descriptors name the same 4 MiB of zeros, which is page 0 again and again: 16 times the most that is read.
        let segment = VirtqueueSegment(address: GuestAddress(Bench.data), length: 1 << 20, isWritable: false)
        try bench.driver.rings[Bench.inflate].send(Array(repeating: segment, count: 64))
        var steps = 0
        while bench.device.serve() { steps += 1 }
        #expect(try bench.driver.settle(queue: Bench.inflate).count == 1)
        #expect(bench.counters.surplusBytes == 60 << 20)
        #expect(bench.counters.repeatedPages == 1 << 20 - 1)
        #expect(steps >= 512, "a long buffer is read in pieces")
    }

    @Test func `A long run is given back in pieces, between which the device can be parked`() throws {
        let memory = try GuestRAM(regionTable(pages: 40_000))
        let bench = try Bench.live(memory: memory, hasThread: false)
        let frames = (0..<30_000).map { UInt32(1024 + $0) }
        try memory.write(Bench.littleEndian(frames), at: GuestAddress(Bench.numbers))
        let segment = VirtqueueSegment(address: GuestAddress(Bench.numbers), length: 120_000, isWritable: false)
        try bench.driver.rings[Bench.inflate].send([segment])
        bench.driver.kick(Bench.inflate)
        let witness = DiscardWitness(memory)
        defer { witness.end() }
        _ = bench.device.serve()
        #expect(witness.runs.reduce(0) { $0 + $1.count } <= 4096 + 4096)
        bench.slot.park()
        #expect(bench.device.queuePositions[0] == VirtqueuePosition(), "it is handled again by whoever takes over")
        #expect(!bench.device.serve())
        bench.slot.unpark()
        while bench.device.serve() {}
        #expect(bench.device.status.balloonedPages == 30_000)
        #expect(bench.device.queuePositions[0] == VirtqueuePosition(nextAvailable: 1, nextUsed: 1))
    }

    @Test func `While memory is pinned, pages are taken and stay as they are, and the reasons can be asked for`() throws {
        let bench = try Bench.live()
        try bench.populate(count: 4)
        let first = bench.device.inhibit("a device has its memory mapped")
        var second: BalloonInhibition? = bench.device.inhibit("a snapshot is taken")
        #expect(bench.device.status.inhibitions == ["a device has its memory mapped", "a snapshot is taken"])
        try bench.send([Self.first, Self.first + 1], Bench.inflate)
        #expect(try bench.content(count: 2) == [0x5A, 0x5A])
        first.cancel()
        first.cancel()
        try bench.send([Self.first + 2], Bench.inflate)
        #expect(bench.counters.inhibitedPages == 3)
        withExtendedLifetime(second) {}
        second = nil
        #expect(bench.device.status.inhibitions.isEmpty)
        try bench.send([Self.first + 3], Bench.inflate)
        #expect(try bench.content(count: 4) == [0x5A, 0x5A, 0x5A, 0])
        #expect(bench.device.status.balloonedPages == 4)
    }

    @Test func `Pages that the kernel does not take back stay as they are, are counted, and the device goes on`() throws {
        let bench = try Bench.live()
        try bench.populate(count: 2)
        try bench.lock(count: 1)
        try bench.send([Self.first], Bench.inflate)
        #expect(bench.counters.failedPages == 1)
        #expect(bench.device.status.lastError != nil)
        #expect(try bench.content(count: 1) == [0x5A])
        try bench.send([Self.first + 1], Bench.inflate)
        #expect(try bench.content(count: 2) == [0x5A, 0])
    }

    @Test func `Pages where no memory is plugged are counted, and not in the balloon`() throws {
        let regions = regionTable(pages: 4096)
        let plugged = MemoryRegion(base: GuestAddress(0), byteCount: 2048 << 12)
        let memory = try GuestRAM(regions, blocks: [MemoryBlock(plugged, .anonymous)])
        let bench = try Bench.live(memory: memory)
        try bench.send([2047, 2048, 4095], Bench.inflate)
        #expect((bench.counters.absentPages, bench.device.status.balloonedPages) == (2, 1))
        bench.device.setTarget(pages: 4096)
        #expect(bench.driver.configuration(0) == 2048)
    }

    @Test func `A reset in the middle of a buffer ends it: what it names behind is not touched`() throws {
        let memory = try GuestRAM(regionTable(pages: 40_000))
        let bench = try Bench.live(memory: memory, hasThread: false)
        try bench.populate(20_000, count: 1)
        try memory.write(Bench.littleEndian((1024...20_000).map { UInt32($0) }), at: GuestAddress(Bench.numbers))
        try bench.driver.rings[0].send([VirtqueueSegment(address: GuestAddress(Bench.numbers), length: 18_977 * 4, isWritable: false)])
        _ = bench.device.serve()
        #expect(bench.device.status.balloonedPages > 0)
        try bench.driver.start([.version1])
        while bench.device.serve() {}
        #expect(bench.device.status.balloonedPages == 0)
        #expect(try bench.content(20_000, count: 1) == [0x5A])
        // The next buffer begins where it begins.
        try memory.write(Bench.littleEndian([1024]), at: GuestAddress(Bench.numbers))
        try bench.driver.rings[0].send([VirtqueueSegment(address: GuestAddress(Bench.numbers), length: 4, isWritable: false)])
        while bench.device.serve() {}
        #expect(bench.device.status.balloonedPages == 1)
    }

    @Test func `Kicks without buffers, also of queues that there are not, wake nobody for long`() throws {
        let bench = try Bench.live(Bench.hintFeatures.union([.statistics, .reporting]))
        for queue in 0..<8 { bench.driver.kick(queue) }
        try bench.send([Self.first], Bench.inflate)
        #expect(bench.device.fault == nil)
        #expect(bench.device.status.balloonedPages == 1)
    }

    @Test func `Stretches that are in the balloon in part are counted`() throws {
        let bench = try Bench.live()
        #expect(bench.device.splitHugePages == 0)
        try bench.send((1024..<1536).map { $0 } + [1600, 2047], Bench.inflate)
        #expect(bench.device.splitHugePages == 1)
        try bench.send([1024, 1600, 2047], Bench.deflate)
        #expect(bench.device.splitHugePages == 1)
        try bench.send([1300, 1537], Bench.deflate)
        try bench.send([1024, 1300, 1600], Bench.inflate)
        #expect(bench.device.splitHugePages == 1)
    }

    @Test func `A reset empties the balloon: what the next driver's pages were is not asked`() throws {
        let bench = try Bench.live()
        bench.device.setTarget(pages: 5)
        bench.transport.write(offset: 0x104, width: 4, value: 2)
        try bench.send([Self.first, Self.first + 1], Bench.inflate)
        try bench.driver.start([.version1])
        let status = bench.device.status
        #expect((status.balloonedPages, status.actualPages, status.targetPages) == (0, 2, 5))
        try bench.populate(count: 2)
        try bench.send([Self.first], Bench.inflate)
        #expect(bench.counters.repeatedPages == 0)
        #expect(try bench.content(count: 2) == [0, 0x5A])
        try bench.send([Self.first + 1], Bench.deflate)
        #expect(bench.counters.unknownPages == 1)
    }
}

@Suite struct TargetTests {
    @Test func `The target is shown with an interrupt and a new generation, once, and never above RAM`() throws {
        let bench = try BalloonBench.live()
        let pages = bench.memory.pageCount
        let (raised, generation) = (bench.line.raised, bench.transport.read(.configurationGeneration))
        bench.device.setTarget(pages: 100)
        bench.device.setTarget(pages: 100)
        #expect(bench.driver.configuration(0) == 100)
        #expect(bench.transport.read(.interruptStatus) == VirtioMMIO.Interrupt.configurationChange)
        #expect(bench.line.raised == raised + 1)
        #expect(bench.transport.read(.configurationGeneration) == generation + 1)
        bench.device.setTarget(pages: .max)
        #expect(bench.driver.configuration(0) == UInt32(pages))
        bench.device.setTarget(guestKeeps: 5 << 20)
        #expect(bench.driver.configuration(0) == UInt32(pages - 1280))
        bench.device.setTarget(guestKeeps: 4097)
        #expect(bench.driver.configuration(0) == UInt32(pages - 2))
        bench.device.setTarget(guestKeeps: .max)
        #expect(bench.driver.configuration(0) == 0)
    }

    @Test func `Who observes actual hears of each change, without the device's lock, and of nothing else`() throws {
        let bench = try BalloonBench.live()
        let device = bench.device
        let heard = Locked<[UInt32]>([])
        device.observeActual { heard.withLock { $0.append(device.status.actualPages) } }
        for value in [7, 7, 9] as [UInt64] { bench.transport.write(offset: 0x104, width: 4, value: value) }
        bench.transport.write(offset: 0x104, width: 2, value: 1)
        bench.transport.write(offset: 0x100, width: 4, value: 1)
        #expect(heard.withLock { $0 } == [7, 9])
        #expect(bench.counters.refusedWrites == 2)
        device.observeActual(nil)
        bench.transport.write(offset: 0x104, width: 4, value: 1)
        #expect(heard.withLock { $0 } == [7, 9])
    }

    @Test func `A resize in the middle of a round does not end it: the id stays in configuration space`() throws {
        let bench = try BalloonBench.ready()
        let id = try bench.open()
        bench.device.setTarget(pages: 10)
        #expect(bench.shownID == id)
        try bench.send((0x40_0000, 0x1000))
        try bench.settle()
        #expect(bench.sink.events.last == .hint(id, address: 0x40_0000, byteCount: 0x1000))
    }
}
