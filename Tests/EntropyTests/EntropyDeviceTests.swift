import AerostatEntropy
import AerostatGuestMemory
import AerostatHost
import AerostatVirtio
import TestSupport
import Testing

/// A guest of 1 MiB, an entropy device, and a driver that does what the test says.
struct EntropyBench {
    static let pages = 256
    static let buffer: UInt64 = 0x4_0000
    static let features: VirtioFeatures = [.version1]

    let memory: GuestRAM
    let device: EntropyDevice
    let slot: DeviceSlot
    let line: ScriptedDriver.InterruptBell
    let driver: ScriptedDriver

    /// - Parameter source: in place of the host's; the device has no thread then.
    init(memory: GuestRAM? = nil, source: (@Sendable (Int) -> [UInt8]?)? = nil) throws {
        self.memory = try memory ?? GuestRAM(regionTable(pages: Self.pages))
        line = try ScriptedDriver.InterruptBell()
        if let source {
            device = try EntropyDevice(self.memory, source: source, hasThread: false, interrupt: line.interrupt)
        } else {
            device = try EntropyDevice(self.memory, interrupt: line.interrupt)
        }
        slot = DeviceSlot(device, self.memory)
        driver = ScriptedDriver(self.memory, slot.transport!, line, ringBase: GuestAddress(0x1_0000))
    }

    static func ready(_ features: VirtioFeatures = features) throws -> EntropyBench {
        let bench = try EntropyBench()
        try bench.driver.start(features)
        return bench
    }

    func send(_ segments: (address: UInt64, count: UInt32, isWritable: Bool)...) throws {
        try driver.rings[0].send(
            segments.map { VirtqueueSegment(address: GuestAddress($0.address), length: $0.count, isWritable: $0.isWritable) }
        )
        driver.kick(0)
    }

    func settle() throws -> [UInt32] { try driver.settle(queue: 0).map(\.length) }

    func bytes(_ count: Int, at address: UInt64 = buffer) throws -> [UInt8] { try memory.read(at: GuestAddress(address), byteCount: count) }
}

@Suite struct EntropyDeviceTests {
    @Test(
        arguments: [EntropyBench.features, [.version1, .eventIndex]] as [VirtioFeatures]
    )
    func `A request is filled with bytes that are not those of the last one, and comes back with their number`(features: VirtioFeatures)
        throws
    {
        let bench = try EntropyBench.ready(features)
        var seen: Set<[UInt8]> = [[UInt8](repeating: 0, count: 64)]
        for _ in 0..<50 {
            try bench.send((EntropyBench.buffer, 64, true))
            #expect(try bench.settle() == [64])
            #expect(seen.insert(try bench.bytes(64)).inserted)
            #expect(try bench.bytes(64, at: EntropyBench.buffer + 64).allSatisfy { $0 == 0 })
        }
    }

    @Test func `All writable segments of a chain are filled, up to 64 KiB together, and the readable ones are not touched`() throws {
        let bench = try EntropyBench.ready()
        try bench.send((EntropyBench.buffer, 16, false), (EntropyBench.buffer + 0x100, 16, true), (EntropyBench.buffer + 0x200, 1, true))
        #expect(try bench.settle() == [17])
        #expect(try bench.bytes(16).allSatisfy { $0 == 0 })
        #expect(try bench.bytes(16, at: EntropyBench.buffer + 0x100).contains { $0 != 0 })
        try bench.send((EntropyBench.buffer, 40 << 10, true), (EntropyBench.buffer + 40 << 10, 40 << 10, true))
        #expect(try bench.settle() == [64 << 10])
        let all = try bench.bytes(80 << 10)
        #expect(all[(64 << 10 - 16)..<(64 << 10)].contains { $0 != 0 } && all[(64 << 10)...].allSatisfy { $0 == 0 })
    }

    @Test func `A chain with nothing to write into, or that does not begin in RAM, comes back empty, and the device goes on`() throws {
        let bench = try EntropyBench.ready()
        let end = UInt64(EntropyBench.pages << 12)
        try bench.send((EntropyBench.buffer, 64, false))
        try bench.send((end, 64, true))
        try bench.send((end - 32, 64, true))
        try bench.send((.max - 8, 64, true))
        #expect(try bench.settle() == [0, 0, 0, 0])
        try bench.send((EntropyBench.buffer, 64, true), (end, 64, true), (EntropyBench.buffer + 64, 64, true))
        #expect(try bench.settle() == [64], "what is behind a bad segment is not the chain's beginning")
        #expect(try bench.bytes(64, at: EntropyBench.buffer + 64).allSatisfy { $0 == 0 })
        #expect(bench.device.fault == nil)
    }

    @Test func `A descriptor of no length breaks the queue until the driver resets it`() throws {
        let bench = try EntropyBench.ready()
        let before = bench.line.raised
        try bench.send((EntropyBench.buffer, 0, true))
        try bench.line.wait(until: { bench.line.raised > before }, "the device says that it needs a reset")
        #expect(bench.device.fault == QueueFault(queue: 0, error: .zeroLength(head: 0, descriptor: 0)))
        #expect(bench.driver.status & VirtioMMIO.Status.needsReset != 0)
        try bench.driver.start(EntropyBench.features)
        try bench.send((EntropyBench.buffer, 8, true))
        #expect(try bench.settle() == [8])
    }

    @Test func `What the device writes is marked: the buffer's pages and the used ring's`() throws {
        let bench = try EntropyBench.ready()
        bench.memory.isLoggingWrites = true
        try bench.send((EntropyBench.buffer + 0xFF0, 0x20, true))
        #expect(try bench.settle() == [0x20])
        let first = Int(EntropyBench.buffer >> 12)
        for page in [first, first + 1, Int(bench.driver.rings[0].layout.deviceArea.rawValue >> 12)] {
            #expect(bench.memory.writeLog.contains(PageIndex(page)), "page \(page)")
        }
    }

    @Test func `A request that the host has no bytes for waits in work, does not hold up parking, and is answered where the guest goes`()
        throws
    {
        let empty = Locked(true)
        let source: @Sendable (Int) -> [UInt8]? = { count in empty.withLock { $0 } ? nil : [UInt8](repeating: 7, count: count) }
        let bench = try EntropyBench(source: source)
        try bench.driver.start(EntropyBench.features)
        try bench.send((EntropyBench.buffer, 64, true))
        for _ in 0..<3 { #expect(bench.device.serve()) }
        bench.slot.park()
        #expect(!bench.device.serve())
        #expect(bench.device.queuePositions == [VirtqueuePosition(nextAvailable: 0, nextUsed: 0)])
        #expect(try bench.driver.rings[0].usedIndex() == 0)
        let other = try EntropyBench(memory: bench.memory, source: source)
        other.slot.park()
        try other.slot.restoreState(bench.slot.saveState())
        other.slot.unpark()
        empty.withLock { $0 = false }
        for device in [other.device] { while device.serve() {} }
        #expect(try bench.driver.rings[0].newUsed().map(\.length) == [64])
        #expect(try bench.bytes(64) == [UInt8](repeating: 7, count: 64))
    }

    @Test(
        arguments: 1...6 as ClosedRange<UInt64>
    )
    func `A driver that writes nonsense into its rings makes the device write nothing but writable segments`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let bench = try EntropyBench(source: { [UInt8](repeating: 0xEE, count: $0) })
        try bench.driver.start(EntropyBench.features, ringSize: 16)
        // Never named by a descriptor.
        let forbidden: UInt64 = 0x8_0000
        for _ in 0..<2000 {
            let place = UInt64.random(in: 0x9_0000...0x10_0100, using: &random)
            let descriptor = VirtqueueDescriptor(
                address: GuestAddress(
                    Int.random(in: 0..<16, using: &random) == 0 ? .random(in: 0x20_0000 ... .max, using: &random) : place
                ),
                length: .random(in: 0...0x100, using: &random),
                flags: .random(in: 0...3, using: &random),
                next: .random(in: 0..<17, using: &random)
            )
            try bench.driver.rings[0].write(descriptor, at: .random(in: 0..<16, using: &random))
            try bench.driver.rings[0].publish(head: .random(in: 0..<17, using: &random))
            bench.driver.kick(0)
            var steps = 0
            while bench.device.serve() { steps += 1 }
            #expect(steps <= 32)
            if bench.device.fault != nil { try bench.driver.start(EntropyBench.features, ringSize: 16) }
        }
        #expect(try bench.bytes(0x1_0000, at: forbidden).allSatisfy { $0 == 0 })
        try bench.driver.start(EntropyBench.features)
        try bench.send((EntropyBench.buffer, 8, true))
        while bench.device.serve() {}
        #expect(try bench.driver.rings[0].newUsed().map(\.length) == [8], "seed \(seed)")
    }

    @Test func `Many requests at once are all answered, while the device is parked and let go again and again`() throws {
        let bench = try EntropyBench.ready()
        let isOver = Locked(false)
        let slot = bench.slot
        let parker = try HostThread(name: "parker") {
            while !isOver.withLock({ $0 }) {
                slot.park()
                _ = slot.saveState()
                slot.unpark()
            }
        }
        for round in UInt64(0)..<40 {
            for index in UInt64(0)..<32 { try bench.send((EntropyBench.buffer + (round * 32 + index) % 64 * 64, 64, true)) }
            #expect(try bench.settle() == [UInt32](repeating: 64, count: 32))
        }
        isOver.withLock { $0 = true }
        parker.join()
    }
}
