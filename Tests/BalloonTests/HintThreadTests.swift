import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

@Suite struct HintThreadTests {
    @Test(arguments: [BalloonBench.hintFeatures, BalloonBench.hintFeatures.union(.eventIndex)]
    )
    func `Blocks between start and stop reach the sink, in order, and come back with length 0`(features: VirtioFeatures) throws {
        let bench = try BalloonBench.ready(features)
        #expect(bench.shownID == .stop)
        let id = bench.device.begin(reportingTo: bench.sink)
        #expect(id == .minimum)
        #expect(bench.shownID == id)
        #expect(bench.transport.read(.interruptStatus) == VirtioMMIO.Interrupt.configurationChange)
        try bench.driver.command(id, queue: BalloonBench.hints)
        // All segments of a chain count.
        try bench.send((0x40_0000, 0x10_0000), (0x50_0000, 0x8_0000))
        for index in UInt64(0)..<200 {
            try bench.send((0x60_0000 + index * 0x1000, 0x1000))
            let used = try bench.settle()
            #expect(used.allSatisfy { $0.length == 0 })
        }
        #expect(bench.shownID == id, "the id stays while the round goes on")
        try bench.driver.command(.stop, queue: BalloonBench.hints)
        try bench.settle()
        var expected: [RecordingSink.Event] = [
            .started(id),
            .hint(id, address: 0x40_0000, byteCount: 0x10_0000),
            .hint(id, address: 0x50_0000, byteCount: 0x8_0000),
        ]
        expected += (UInt64(0)..<200).map { .hint(id, address: 0x60_0000 + $0 * 0x1000, byteCount: 0x1000) }
        expected.append(.stopped(id))
        #expect(bench.sink.events == expected)
        #expect(bench.device.statistics.commands == 1)
        #expect(bench.device.statistics.staleBlocks + bench.device.statistics.invalidBlocks == 0)
    }

    @Test func `A command and its first blocks in one chain: the command counts first`() throws {
        let bench = try BalloonBench.ready()
        let id = bench.device.begin(reportingTo: bench.sink)
        // The id in two pieces, and a block.
        try bench.memory.write([UInt8(id.rawValue), 0, 0, 0], at: GuestAddress(0x8000))
        try bench.driver.rings[BalloonBench.hints].send([
            VirtqueueSegment(address: GuestAddress(0x8000), length: 1, isWritable: false),
            VirtqueueSegment(address: GuestAddress(0x8001), length: 3, isWritable: false),
            VirtqueueSegment(address: GuestAddress(0x40_0000), length: 0x1000, isWritable: true),
        ])
        bench.driver.kick(BalloonBench.hints)
        try bench.settle()
        #expect(bench.sink.events == [.started(id), .hint(id, address: 0x40_0000, byteCount: 0x1000)])
    }

    @Test func `Blocks before start, after stop, after done and under an old id come back, are counted, and are not applied`() throws {
        let bench = try BalloonBench.ready()
        let block: (UInt64, UInt32) = (0x40_0000, 0x1000)
        try bench.send(block)
        let first = bench.device.begin(reportingTo: bench.sink)
        try bench.send(block)
        try bench.settle()
        #expect(bench.device.statistics.staleBlocks == 2)
        try bench.driver.command(first, queue: BalloonBench.hints)
        try bench.settle()
        bench.device.stop()
        #expect(bench.sink.events == [.started(first), .stopped(first)])
        try bench.send(block)
        let second = bench.device.begin(reportingTo: bench.sink)
        // What a slow guest says about the first command: a block, a replayed start, a block, its stop.
        try bench.send(block)
        try bench.driver.command(first, queue: BalloonBench.hints)
        try bench.send(block)
        try bench.driver.command(.stop, queue: BalloonBench.hints)
        try bench.settle()
        #expect(bench.device.statistics.staleBlocks == 5)
        try bench.driver.command(second, queue: BalloonBench.hints)
        try bench.send(block)
        try bench.settle()
        bench.device.done()
        #expect(bench.shownID == .done)
        try bench.driver.command(second, queue: BalloonBench.hints)
        try bench.send(block)
        try bench.settle()
        #expect(bench.device.statistics.staleBlocks == 6)
        let applied = RecordingSink.Event.hint(second, address: 0x40_0000, byteCount: 0x1000)
        #expect(bench.sink.events == [.started(first), .stopped(first), .started(second), applied, .stopped(second)])
    }

    @Test(arguments: [true, false])
    func `That the driver has heard done is known when it has read it and has ended its round`(readsFirst: Bool) throws {
        let bench = try BalloonBench.ready()
        let heard = Locked(0)
        let tell: @Sendable () -> Void = { heard.withLock { $0 += 1 } }
        var count: Int { heard.withLock { $0 } }
        _ = try bench.open()
        bench.device.done(heard: tell)
        #expect(count == 0)
        if readsFirst { #expect(bench.shownID == .done && count == 0, "it is still reporting") }
        try bench.driver.command(.stop, queue: BalloonBench.hints)
        try bench.settle()
        if !readsFirst {
            #expect(count == 0)
            // Another field is not the word.
            #expect(bench.driver.configuration(BalloonConfiguration.actualPagesOffset) == 0 && count == 0)
            #expect(bench.shownID == .done)
        }
        #expect(count == 1)
        #expect(bench.shownID == .done && count == 1, "once")
        // What it has read already, it has heard.
        bench.device.done(heard: tell)
        #expect(count == 2)
    }

    @Test func `A driver that is gone has heard done, and a new command forgets it`() throws {
        let bench = try BalloonBench.ready()
        let heard = Locked(0)
        let tell: @Sendable () -> Void = { heard.withLock { $0 += 1 } }
        _ = try bench.open()
        bench.device.done(heard: tell)
        _ = bench.device.begin(reportingTo: bench.sink)
        _ = bench.shownID
        #expect(heard.withLock { $0 } == 0)
        // Nobody holds anything after a reset, nor before a driver is there.
        bench.device.done(heard: tell)
        #expect(heard.withLock { $0 } == 0)
        bench.transport.write(.status, 0)
        #expect(heard.withLock { $0 } == 1)
        bench.device.done(heard: tell)
        #expect(heard.withLock { $0 } == 2)
    }

    @Test func `A hint queue that the driver takes back ends the command, and nothing in it is looked at any more`() throws {
        let bench = try BalloonBench.ready()
        let id = bench.device.begin(reportingTo: bench.sink)
        try bench.driver.command(id, queue: BalloonBench.hints)
        try bench.settle()
        bench.transport.write(.queueSelect, UInt32(BalloonBench.hints))
        bench.transport.write(.queueReady, 0)
        #expect(bench.transport.read(.queueReady) == 0 && !bench.device.isAvailable)
        #expect(bench.sink.events == [.started(id), .stopped(id)])
        bench.device.stop()
        #expect(bench.sink.events == [.started(id), .stopped(id)])
    }

    @Test(arguments: ["stop", "done", "begin", "reset"])
    func `Stop, done and begin return only when no hint is in the middle of being applied`(call: String) throws {
        let bench = try BalloonBench.ready()
        let id = try bench.open()
        bench.sink.hold()
        try bench.send((0x40_0000, 0x1000))
        #expect(bench.sink.waitUntilHeld())
        let stopped = Monitor(false)
        let (device, sink) = (bench.device, bench.sink)
        let caller = try HostThread(name: "caller") {
            switch call {
            case "stop": device.stop()
            case "done": device.done()
            case "begin": _ = device.begin(reportingTo: sink)
            default: device.reset()
            }
            // Nothing of the old command is heard from here on; the hint is complete.
            stopped.update { $0 = true }
        }
        // A call that does not wait would be back by now; one that does is not back however long this takes.
        #expect(stopped.wait(until: MonotonicClock.now() + .milliseconds(50)) { $0 ? true : nil } == nil)
        #expect(bench.sink.isHeld)
        bench.sink.release()
        caller.join()
        #expect(
            bench.sink.events == [.started(id), .hint(id, address: 0x40_0000, byteCount: 0x1000), .stopped(id)]
        )
        try bench.send((0x40_0000, 0x1000))
        if call != "reset" {
            try bench.settle()
            #expect(bench.device.statistics.staleBlocks == 1)
        }
    }

    @Test(arguments: [(UInt32.max, 1), (0x1000, 16)]
    )
    func `Stop comes through in the middle of a chain, whatever the number and size of its blocks`(byteCount: UInt32, most: Int) throws {
        let bench = try BalloonBench.ready(ringSize: 64)
        let id = try bench.open()
        bench.sink.hold()
        try bench.driver.hint((0..<60).map { _ in (address: 0x40_0000, byteCount: byteCount) }, queue: BalloonBench.hints)
        #expect(bench.sink.waitUntilHeld())
        // The caller waits for the lock while the first block is applied, and gets it before the last one is.
        let releaser = try releaseLater(bench.sink)
        bench.device.stop()
        releaser.join()
        let applied = bench.sink.events.count { if case .hint = $0 { true } else { false } }
        #expect(bench.sink.events.last == .stopped(id))
        #expect((1...most).contains(applied))
        try bench.settle()
        #expect(applied + bench.device.statistics.staleBlocks == 60)
    }

    @Test func `The hint thread sleeps when there is nothing to read, also while a command is open, and while parked`() throws {
        let bench = try BalloonBench.ready()
        _ = try bench.open()
        try bench.send((0x40_0000, 0x1000))
        try bench.settle()
        let pause = Doorbell.silent()
        // The last kick may still be on its way to the thread, which is awake already.
        pause.wait(timeout: .milliseconds(50))
        let idle = bench.device.steps
        pause.wait(timeout: .milliseconds(100))
        #expect(bench.device.steps == idle)
        // Work in the queue, and parked: the kick wakes it once.
        bench.slot.park()
        try bench.send((0x41_0000, 0x1000))
        pause.wait(timeout: .milliseconds(100))
        #expect(bench.device.steps == idle + 1)
        bench.slot.unpark()
        try bench.settle()
        #expect(bench.device.steps > idle + 1)
    }

    @Test(
        arguments: [[.version1, .freePageHint], [.version1, .freePageHint, .eventIndex]] as [VirtioFeatures]
    )
    func `A driver and a device that both sleep until told never wait for each other`(features: VirtioFeatures) throws {
        let bench = try BalloonBench.ready(features)
        let queue = BalloonBench.hints
        let driver = try SplitVirtqueueDriver(
            bench.memory,
            bench.driver.rings[queue].layout,
            stateAddress: GuestAddress(0x2_0000),
            features: features
        )
        // The ring is fresh on both sides, so the driver may format it although the device knows it.
        bench.slot.park()
        driver.format()
        bench.slot.unpark()
        let block = [VirtqueueSegment(address: GuestAddress(0x40_0000), length: 0x1000, isWritable: true)]
        var random = SeededGenerator(seed: 1)
        var returned = 0
        var sent = 0
        while sent < 20_000 {
            for _ in 0..<[1, 1, 1, 1, 1, 1, 1, 64].randomElement(using: &random)! where driver.add(block, token: UInt64(sent)) {
                sent += 1
                if driver.kickNeeded() { bench.driver.kick(queue) }
            }
            // Looking a few times before sleeping sends the next chain just when the device is about to sleep, after a varying while.
            for _ in 0..<1000 where returned < sent {
                while try driver.popUsed() != nil { returned += 1 }
            }
            for _ in 0..<Int.random(in: 0..<20, using: &random) { _ = driver.freeDescriptors }
            try bench.line.wait(
                until: {
                    if returned == sent { return true }
                    repeat { while try driver.popUsed() != nil { returned += 1 } } while driver.setInterrupts(enabled: true)
                    return returned == sent
                },
                "chain \(returned) of \(sent)"
            )
        }
        #expect(bench.device.statistics.staleBlocks == sent)
    }

    @Test func `While parked no queue moves and no guest memory changes; what came meanwhile is handled afterwards`() throws {
        let bench = try BalloonBench.ready()
        let id = try bench.open()
        bench.slot.park()
        let ring = bench.driver.rings[BalloonBench.hints]
        let used = try ring.usedIndex()
        let positions = bench.device.queuePositions
        try bench.send((0x40_0000, 0x1000))
        let tracker = SoftwareTracker(bench.memory)
        tracker.arm()
        #expect(!Doorbell.silent().wait(timeout: .milliseconds(50)))
        #expect(try ring.usedIndex() == used)
        #expect(bench.device.queuePositions == positions)
        let dirty = try PageSet(pageCount: bench.memory.pageCount)
        tracker.harvest(into: dirty)
        #expect((0..<dirty.wordCount).allSatisfy { dirty.take(word: $0) == 0 })
        tracker.disarm()
        bench.slot.unpark()
        try bench.settle()
        #expect(bench.sink.events.last == .hint(id, address: 0x40_0000, byteCount: 0x1000))
    }
}

extension Doorbell {
    /// A bell that nobody rings: waiting for it lets time pass, where a test shows that nothing happens.
    static func silent() -> Doorbell {
        do { return try Doorbell() } catch { preconditionFailure("\(error)") }
    }
}
