import AerostatBalloon
import AerostatGuestMemory
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

/// What travels of the balloon.
@Suite struct MoveTests {
    typealias Bench = BalloonBench
    static let first = Bench.dataFrame

    private func move(_ source: BalloonBench, options: BalloonOptions = BalloonOptions(), hasThread: Bool = true) throws -> BalloonBench {
        source.slot.park()
        let destination = try BalloonBench(options: options, memory: source.memory, hasThread: hasThread)
        destination.slot.park()
        try destination.slot.restoreState(source.slot.saveState())
        destination.driver.rings = source.driver.rings
        destination.slot.unpark()
        return destination
    }

    @Test func `Target, actual and the number of pages in the balloon travel, and the driver takes them out where it arrives`() throws {
        let source = try Bench.live()
        source.device.setTarget(pages: 300)
        source.transport.write(offset: 0x104, width: 4, value: 256)
        try source.send((0..<256).map { Self.first + $0 }, Bench.inflate)
        let destination = try move(source)
        var status = destination.device.status
        #expect((status.targetPages, status.actualPages, status.balloonedPages) == (300, 256, 256))
        #expect(status.isDriverReady)
        try destination.send((256..<266).map { Self.first + $0 }, Bench.inflate)
        try destination.send((0..<260).map { Self.first + $0 }, Bench.deflate)
        status = destination.device.status
        #expect(status.balloonedPages == 6)
        #expect((status.counters.deflatedPages, status.counters.unknownPages) == (260, 0))
        let third = try move(destination)
        #expect(third.device.status.balloonedPages == 6)
        try third.send((256..<267).map { Self.first + $0 }, Bench.deflate)
        #expect(third.device.status.balloonedPages == 0)
        #expect(third.device.status.counters.unknownPages == 5, "only six were in it, and which ones did not travel")
    }

    @Test func `A buffer that is half done when the device parks is done again where the guest arrives, and counted once`() throws {
        let memory = try GuestRAM(regionTable(pages: 40_000))
        let source = try Bench.live(memory: memory, hasThread: false)
        let frames = (0..<20_000).map { UInt32(1024 + $0) }
        try memory.write(Bench.littleEndian(frames), at: GuestAddress(Bench.numbers))
        try source.driver.rings[0].send([VirtqueueSegment(address: GuestAddress(Bench.numbers), length: 80_000, isWritable: false)])
        _ = source.device.serve()
        #expect(source.device.status.balloonedPages > 0)
        let destination = try move(source, hasThread: false)
        while destination.device.serve() {}
        #expect(destination.device.status.balloonedPages == 20_000)
        #expect(destination.device.ballooned.count() == 20_000)
        // Out again, and moved in the middle of that.
        try destination.driver.rings[1].send([VirtqueueSegment(address: GuestAddress(Bench.numbers), length: 80_000, isWritable: false)])
        _ = destination.device.serve()
        #expect(destination.device.status.balloonedPages < 20_000)
        let third = try move(destination, hasThread: false)
        while third.device.serve() {}
        #expect(third.device.status.balloonedPages == 0)
        #expect(third.counters.unknownPages == 0)
    }

    @Test func `State of version 1, of a device with fewer queues, is taken over`() throws {
        let old = try BalloonBench(options: BalloonOptions(offersStatistics: false, offersReporting: false))
        try old.driver.start([.version1, .freePageHint, .pagePoison], poison: 5)
        old.transport.write(offset: 0x104, width: 4, value: 7)
        old.device.setTarget(pages: 9)
        old.slot.park()
        var sections = old.slot.saveState()
        // Version 1 ends behind four fields.
        sections[1] = DeviceSection(name: sections[1].name, version: 1, bytes: Array(sections[1].bytes.prefix(16)))
        let new = try BalloonBench(memory: old.memory)
        new.slot.park()
        new.device.setPollingInterval(seconds: 3)
        try new.slot.restoreState(sections)
        new.driver.rings = old.driver.rings
        new.slot.unpark()
        let status = new.device.status
        #expect((status.targetPages, status.actualPages, status.balloonedPages) == (9, 7, 0))
        #expect(new.device.poison == 5)
        #expect(new.device.pollingIntervalSeconds == 3)
        try new.send([Self.first], Bench.inflate)
        #expect(new.device.status.balloonedPages == 1)
    }

    @Test(
        arguments: [
            (VirtioFeatures.statistics, BalloonOptions(offersStatistics: false)),
            (.reporting, BalloonOptions(offersReporting: false)),
            (.deflateOnOOM, BalloonOptions(offersDeflateOnOOM: false)),
            (.pagePoison, BalloonOptions(offersPoison: false)),
            (.freePageHint, BalloonOptions(offersHints: false)),
            (.mustTellHost, BalloonOptions()),
        ]
    )
    func `A device that does not offer what the driver accepted refuses the guest, and takes one that does without`(
        feature: VirtioFeatures,
        options: BalloonOptions
    ) throws {
        let all = BalloonOptions(offersMustTellHost: true)
        let source = try Bench.live([.version1, feature], options: all)
        #expect(throws: DeviceStateError.self) { try move(source, options: options) }
        let without = try Bench.live([.version1], options: all)
        let destination = try move(without, options: options)
        try destination.send([Self.first], Bench.inflate)
        #expect(destination.device.status.balloonedPages == 1)
    }

    @Test func `A number of pages that the guest does not have is refused`() throws {
        let source = try Bench.live()
        source.slot.park()
        var sections = source.slot.saveState()
        var bytes = sections[1].bytes
        bytes[27] = 1
        sections[1] = DeviceSection(name: sections[1].name, version: sections[1].version, bytes: bytes)
        #expect(throws: DeviceStateError.value(field: "pages in the balloon", 1 << 56)) { try source.slot.restoreState(sections) }
    }
}
