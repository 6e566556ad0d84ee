import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

@Suite struct ConfigurationTests {
    @Test(arguments: [(true, true, 16), (true, false, 12), (false, false, 8)]
    )
    func `Configuration is 16, 12 or 8 bytes by what is offered; the rest reads as zero`(hints: Bool, poison: Bool, byteCount: Int) throws {
        let bench = try BalloonBench(options: BalloonOptions(offersHints: hints, offersPoison: poison))
        #expect(BalloonConfiguration.byteCount(offered: bench.device.offeredFeatures) == byteCount)
        try bench.driver.negotiate([.version1])
        bench.device.done()
        for offset in [4, 12] { bench.transport.write(offset: 0x100 + UInt64(offset), width: 4, value: 0xAAAA_AAAA) }
        #expect(bench.driver.configuration(4) == 0xAAAA_AAAA)
        #expect(bench.driver.configuration(12) == (poison ? 0xAAAA_AAAA : 0))
        #expect(bench.shownID == (hints ? .done : .stop))
        #expect(bench.transport.read(offset: 0x100 + UInt64(byteCount), width: 8) == 0)
        #expect(bench.transport.read(offset: 0x100 + UInt64(byteCount) - 1, width: 8) <= 0xFF)
        #expect(bench.transport.read(offset: 0xFFF, width: 8) == 0)
    }

    @Test func `The driver writes actual at any time and poison before it is ready, whole, and nothing else`() throws {
        let bench = try BalloonBench()
        func write(_ offset: UInt64, _ value: UInt64, width: Int = 4) {
            bench.transport.write(offset: 0x100 + offset, width: width, value: value)
        }
        try bench.driver.negotiate(BalloonBench.hintFeatures)
        write(0, 7)
        write(8, 7)
        write(12, 0xAAAA_AAAA)
        write(4, 5)
        write(4, 6, width: 1)
        write(5, 6, width: 2)
        write(4, .max, width: 8)
        #expect((0..<4).map { bench.driver.configuration($0 * 4) } == [0, 5, 0, 0xAAAA_AAAA])
        bench.driver.driverOK()
        #expect(bench.device.poison == 0xAAAA_AAAA)
        write(12, 1)
        write(4, 9)
        #expect((0..<4).map { bench.driver.configuration($0 * 4) } == [0, 9, 0, 0xAAAA_AAAA])
        try bench.driver.start([.version1, .freePageHint])
        #expect(bench.device.poison == nil)
        #expect(bench.driver.configuration(12) == 0)
    }

    @Test func `Queues are numbered densely over what was negotiated, or as the specification does where that is asked`() throws {
        let linux = try BalloonBench().device
        #expect(linux.queueSizes(negotiated: [.version1]) == [128, 128])
        #expect(linux.queueSizes(negotiated: BalloonBench.hintFeatures) == [128, 128, 1024])
        #expect(linux.queueSizes(negotiated: [.version1, .reporting]) == [128, 128, 32])
        #expect(linux.queueSizes(negotiated: linux.offeredFeatures) == [128, 128, 128, 1024, 32])
        let specification = try BalloonBench(options: BalloonOptions(usesSpecificationQueueNumbers: true))
        #expect(specification.device.queueSizes(negotiated: BalloonBench.hintFeatures) == [128, 128, 0, 1024])
        #expect(specification.device.queueSizes(negotiated: [.version1, .reporting]) == [128, 128, 0, 0, 32])
        try specification.driver.start(BalloonBench.hintFeatures)
        let id = specification.device.begin(reportingTo: specification.sink)
        try specification.driver.command(id, queue: 3)
        try specification.driver.settle(queue: 3)
        #expect(specification.sink.events == [.started(id)])
    }
}

@Suite struct BalloonStateTests {
    /// A source in the middle of a round that is paused, with two chains waiting.
    private func pausedSource() throws -> (bench: BalloonBench, id: CommandID) {
        let bench = try BalloonBench.ready()
        bench.transport.write(offset: 0x104, width: 4, value: 3)
        let id = try bench.open()
        for index in UInt64(0)..<100 {
            try bench.send((0x40_0000 + index * 0x1000, 0x1000))
            try bench.settle()
        }
        bench.slot.park()
        try bench.send((0x60_0000, 0x1000))
        try bench.send((0x60_1000, 0x1000))
        return (bench, id)
    }

    @Test func `At the destination the guest hears DONE, its waiting blocks come back, and its ids go on`() throws {
        let (source, id) = try pausedSource()
        source.transport.write(.interruptAcknowledge, 3)
        let sections = source.slot.saveState()
        let destination = try BalloonBench(memory: source.memory)
        destination.slot.park()
        try destination.slot.restoreState(sections)
        #expect(destination.driver.status == source.driver.status)
        #expect(destination.shownID == .done)
        #expect(destination.transport.read(.interruptStatus) == VirtioMMIO.Interrupt.configurationChange)
        #expect(destination.line.raised == 1)
        #expect(destination.driver.configuration(4) == 3)
        destination.driver.rings = source.driver.rings
        destination.slot.unpark()
        let used = try destination.settle()
        #expect(used.map(\.length) == [0, 0])
        #expect(destination.device.statistics.staleBlocks == 2)
        #expect(destination.device.isAvailable)
        #expect(try destination.open() == id.successor)
    }

    @Test func `A done that is said while the device is parked waits for the guest`() throws {
        let (bench, id) = try pausedSource()
        bench.transport.write(.interruptAcknowledge, 3)
        let before = bench.line.raised
        bench.device.done()
        #expect(bench.sink.events.last == .stopped(id))
        #expect(bench.shownID == .done)
        #expect(bench.line.raised == before + 1)
        #expect(bench.transport.read(.interruptStatus) == VirtioMMIO.Interrupt.configurationChange)
        bench.slot.unpark()
        try bench.settle()
        #expect(bench.device.statistics.staleBlocks == 2)
    }

    @Test func `A chain that is half applied when the device parks is handled again at the destination, and once here`() throws {
        let bench = try BalloonBench.ready()
        _ = try bench.open()
        bench.sink.hold()
        try bench.driver.hint((0..<60).map { (address: 0x40_0000 + $0 * 0x1000, byteCount: 0x1000) }, queue: BalloonBench.hints)
        #expect(bench.sink.waitUntilHeld())
        let (device, slot) = (bench.device, bench.slot)
        // Parking waits for the lock in front of the hint thread, so it comes between two pieces of the chain.
        let sink = bench.sink
        let releaser = try releaseLater(sink)
        slot.park()
        releaser.join()
        let hints = bench.sink.events.count - 1
        let position = try #require(device.queuePositions[BalloonBench.hints])
        #expect(
            position == (hints < 60 ? VirtqueuePosition(nextAvailable: 1, nextUsed: 1) : VirtqueuePosition(nextAvailable: 2, nextUsed: 2))
        )
        slot.unpark()
        try bench.settle()
        #expect(bench.sink.events.count == 61)
    }

    @Test func `Saved state that is cut, too long, of another version or missing is refused`() throws {
        let (source, _) = try pausedSource()
        let sections = source.slot.saveState()
        let destination = try BalloonBench(memory: source.memory)
        destination.slot.park()
        func refuses(_ sections: [DeviceSection]) {
            #expect(throws: DeviceStateError.self) { try destination.slot.restoreState(sections) }
            #expect(destination.driver.status == 0)
        }
        for index in sections.indices {
            let section = sections[index]
            func replaced(_ bytes: [UInt8], version: UInt32 = section.version) -> [DeviceSection] {
                var copy = sections
                copy[index] = DeviceSection(name: section.name, version: version, bytes: bytes)
                return copy
            }
            for count in section.bytes.indices { refuses(replaced(Array(section.bytes[..<count]))) }
            refuses(replaced(section.bytes + [0]))
            refuses(replaced(section.bytes, version: section.version + 1))
            refuses(replaced(section.bytes, version: section.version - 1))
            refuses(sections.filter { $0 != section })
        }
        try destination.slot.restoreState(sections)
    }

    @Test(arguments: [1, 2] as [UInt64])
    func `Saved state with any byte changed is refused, or gives a device that can be reset and used`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let (source, _) = try pausedSource()
        let sections = source.slot.saveState()
        let destination = try BalloonBench(memory: source.memory)
        for (which, section) in sections.enumerated() {
            for offset in section.bytes.indices {
                var bytes = section.bytes
                bytes[offset] ^= UInt8.random(in: 1...255, using: &random)
                var copy = sections
                copy[which] = DeviceSection(name: section.name, version: section.version, bytes: bytes)
                destination.slot.park()
                try? destination.slot.restoreState(copy)
                destination.slot.unpark()
            }
        }
        try destination.driver.start(BalloonBench.hintFeatures)
        _ = try destination.open()
    }
}
