import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

@Suite struct BadGuestTests {
    @Test func `Blocks outside RAM, in the hole, unaligned or too small reach the sink, are counted, and the queue goes on`() throws {
        let bench = try BalloonBench.ready()
        let id = try bench.open()
        let half = BalloonBench.memoryBytes / 2
        let blocks: [(UInt64, UInt32)] = [
            (half, 0x1000), (.max - 0xFFF, 0x1000), (.max, .max), (0x40_0800, 0x1000), (0x40_0000, 0xFFF), (1 << 62, 1),
        ]
        for block in blocks { try bench.send((block.0, block.1)) }
        // This one is partly in RAM, and counts.
        try bench.send((half - 0x1000, 0x2000))
        let used = try bench.settle()
        #expect(used.allSatisfy { $0.length == 0 })
        #expect(bench.device.statistics.invalidBlocks == blocks.count)
        #expect(bench.device.fault == nil)
        #expect(bench.sink.events.last == .hint(id, address: half - 0x1000, byteCount: 0x2000))
        bench.device.resetStatistics()
        #expect(bench.device.statistics == HintStatistics())
    }

    @Test(arguments: [1, 3, 5, 8, 64])
    func `A command that is not four bytes in RAM is counted and changes nothing`(byteCount: Int) throws {
        let bench = try BalloonBench.ready()
        let id = bench.device.begin(reportingTo: bench.sink)
        try bench.driver.command([UInt8(id.rawValue)] + [UInt8](repeating: 0, count: byteCount - 1), queue: BalloonBench.hints)
        let outside = VirtqueueSegment(address: GuestAddress(1 << 40), length: 4, isWritable: false)
        try bench.driver.rings[BalloonBench.hints].send([outside])
        bench.driver.kick(BalloonBench.hints)
        try bench.settle()
        #expect(bench.device.statistics.invalidBlocks == 2)
        #expect(bench.sink.events.isEmpty)
        try bench.driver.command(id, queue: BalloonBench.hints)
        try bench.settle()
        #expect(bench.sink.events == [.started(id)])
    }

    enum Damage: CaseIterable {
        case loop, index, head, zeroLength
    }

    @Test(
        arguments: Damage.allCases
    )
    func `A broken queue ends the command, asks for a reset, is told once, and the device lives again after the reset`(damage: Damage)
        throws
    {
        let bench = try BalloonBench.ready()
        let id = try bench.open()
        var ring = bench.driver.rings[BalloonBench.hints]
        func write(_ length: UInt32, _ flags: UInt16, next: UInt16) throws {
            let descriptor = VirtqueueDescriptor(address: GuestAddress(0x40_0000), length: length, flags: flags, next: next)
            try ring.write(descriptor, at: 9)
        }
        let expected: VirtqueueError
        switch damage {
        case .loop:
            try write(0x1000, VirtqueueDescriptor.next | VirtqueueDescriptor.write, next: 9)
            try ring.publish(head: 9)
            expected = .loop(head: 9)
        case .index:
            try ring.setAvailableIndex(1000)
            expected = .availableIndexJump(available: 1000, next: 1, size: 64)
        case .head:
            try ring.publish(head: 64)
            expected = .headOutOfRange(head: 64, size: 64)
        case .zeroLength:
            try write(0, VirtqueueDescriptor.write, next: 0)
            try ring.publish(head: 9)
            expected = .zeroLength(head: 9, descriptor: 9)
        }
        bench.transport.write(.interruptAcknowledge, 3)
        bench.driver.kick(BalloonBench.hints)
        #expect(bench.sink.wait(for: .stopped(id)))
        try bench.line.wait(until: { bench.driver.status & VirtioMMIO.Status.needsReset != 0 }, "NEEDS_RESET")
        #expect(bench.device.fault?.queue == BalloonBench.hints)
        #expect(bench.device.fault?.error == expected)
        #expect(bench.transport.read(.interruptStatus) == VirtioMMIO.Interrupt.configurationChange)
        #expect(!bench.device.isAvailable)
        // The engine may go on asking: it gets an id, and hears at once that nothing will come.
        let next = bench.device.begin(reportingTo: bench.sink)
        #expect(bench.sink.events == [.started(id), .stopped(id), .stopped(next)])
        bench.driver.kick(BalloonBench.hints)
        bench.device.stop()
        bench.device.done()
        #expect(bench.sink.events.count == 3)
        try bench.driver.start(BalloonBench.hintFeatures)
        #expect(bench.device.fault == nil)
        #expect(bench.driver.status & VirtioMMIO.Status.needsReset == 0)
        #expect(try bench.open().rawValue > next.rawValue)
    }

    @Test func `A reset in the middle of a round ends it: a new driver's buffers are not hints`() throws {
        let bench = try BalloonBench.ready()
        let id = try bench.open()
        try bench.driver.start(BalloonBench.hintFeatures)
        #expect(bench.sink.events == [.started(id), .stopped(id)])
        #expect(bench.shownID == .stop)
        try bench.driver.command(id, queue: BalloonBench.hints)
        try bench.send((0x40_0000, 0x1000))
        try bench.settle()
        #expect(bench.sink.events.count == 2)
        #expect(bench.device.statistics.staleBlocks == 1)
    }

    @Test func `Where hints were not negotiated, or no driver is there, begin is safe and says so`() throws {
        let bench = try BalloonBench()
        #expect(!bench.device.isAvailable)
        let first = bench.device.begin(reportingTo: bench.sink)
        try bench.driver.start([.version1])
        #expect(!bench.device.isAvailable)
        let second = bench.device.begin(reportingTo: bench.sink)
        #expect(bench.sink.events == [.stopped(first), .stopped(second)])
        bench.device.stop()
        bench.device.done()
        #expect(bench.sink.events.count == 2)
    }

    @Test(arguments: 1...20)
    func `Any garbage in the rings leaves a device that can be reset and used`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let bench = try BalloonBench.ready()
        let id = try bench.open()
        for _ in 0..<200 {
            let queue = Int.random(in: 0..<3, using: &random)
            let layout = bench.driver.rings[queue].layout
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let descriptor = VirtqueueDescriptor(
                    address: GuestAddress(.random(in: 0...BalloonBench.memoryBytes, using: &random)),
                    length: .random(in: 0...64, using: &random),
                    flags: .random(in: 0...7, using: &random),
                    next: .random(in: 0...64, using: &random)
                )
                try bench.driver.rings[queue].write(descriptor, at: .random(in: 0..<64, using: &random))
            case 1: try bench.driver.rings[queue].publish(head: .random(in: 0..<64, using: &random))
            case 2: try bench.driver.rings[queue].setAvailableIndex(.random(in: 0...0xFFFF, using: &random))
            default:
                let count = VirtqueueLayout.byteCount(.descriptorTable, size: layout.size)
                let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                try bench.memory.write(bytes, at: layout.descriptorTable)
            }
            bench.driver.kick(queue)
            if bench.device.fault != nil { try bench.driver.start(BalloonBench.hintFeatures) }
        }
        bench.device.stop()
        try bench.driver.start(BalloonBench.hintFeatures)
        #expect(try bench.open().rawValue > id.rawValue, "seed \(seed)")
    }

    @Test func `Resets, hints, the engine and the registers all at once end in a device that works`() throws {
        let bench = try BalloonBench.ready()
        let (device, slot, sink) = (bench.device, bench.slot, bench.sink)
        let isOver = Locked(false)
        let engine = try HostThread(name: "engine") {
            while !isOver.withLock({ $0 }) {
                _ = device.begin(reportingTo: sink)
                device.stop()
                slot.park()
                _ = slot.saveState()
                slot.unpark()
                device.done()
            }
        }
        for round in UInt64(0)..<300 {
            try bench.driver.start(BalloonBench.hintFeatures, ringSize: 16)
            for index in UInt64(0)..<10 {
                try bench.driver.command(bench.shownID, queue: BalloonBench.hints)
                bench.transport.write(offset: 0x104, width: 4, value: round)
                if index < 5 { try bench.send((0x40_0000 + index * 0x1000, 0x1000)) }
            }
        }
        isOver.withLock { $0 = true }
        engine.join()
        try bench.driver.start(BalloonBench.hintFeatures)
        #expect(bench.device.fault == nil)
        let id = try bench.open()
        // Every command that was opened was closed, once.
        let events = bench.sink.events
        let stopped = events.compactMap { if case .stopped(let id) = $0 { id } else { nil } }
        #expect(Set(stopped).count == stopped.count)
        #expect(stopped.count == Int(id.rawValue - CommandID.minimum.rawValue))
    }

    @Test(arguments: [true, false])
    func `a start that the device has not read does not become the start of the next command`(_ readsLate: Bool) throws {
        let bench = try BalloonBench.ready()
        // As Linux's driver: one word for the id that is answered, which every start buffer names.
        let word = GuestAddress(0x8000)
        func queueStart(_ id: CommandID) throws {
            try bench.memory.store(id.rawValue, at: word)
            try bench.driver.rings[BalloonBench.hints].send([VirtqueueSegment(address: word, length: 4, isWritable: false)])
        }
        func queueBlock(_ address: UInt64) throws {
            let segment = VirtqueueSegment(address: GuestAddress(address), length: 0x1000, isWritable: true)
            try bench.driver.rings[BalloonBench.hints].send([segment])
        }
        func answerSlowly(_ id: CommandID) throws {
            #expect(bench.shownID == id)
            try queueStart(id)
            try queueBlock(0x40_0000)
        }
        let first = bench.device.begin(reportingTo: bench.sink)
        bench.slot.park()
        if !readsLate { try answerSlowly(first) }
        bench.device.stop()
        // The guest may use the page again, write it, and the harvest sees that. Then the next round begins.
        let second = bench.device.begin(reportingTo: bench.sink)
        if readsLate {
            // The driver was slower still: it answers the first command when the second has been opened.
            try queueStart(first)
            try queueBlock(0x40_0000)
        }
        #expect(bench.shownID == second)
        try queueStart(second)
        try queueBlock(0x50_0000)
        bench.slot.unpark()
        bench.driver.kick(BalloonBench.hints)
        try bench.settle()
        #expect(bench.sink.events.contains(.hint(second, address: 0x50_0000, byteCount: 0x1000)))
        #expect(!bench.sink.events.contains(.hint(second, address: 0x40_0000, byteCount: 0x1000)), "a hint of the first command")
        #expect(bench.device.statistics.staleBlocks == 1)
    }
}
