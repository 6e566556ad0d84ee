import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

/// A device with three queues (the last one only if bit 0 is negotiated) and eight bytes of configuration.
final class RecordingDevice: VirtioDevice {
    enum Event: Hashable, Sendable {
        case activated(VirtioFeatures, sizes: [UInt16?])
        case reset
        case stopped(Int)
    }

    static let third = VirtioFeatures(rawValue: 1)
    let doorbells: [Doorbell]

    private struct State {
        var events: [Event] = []
        var configuration = [UInt8](1...8)
        var queues: [SplitVirtqueue?] = []
    }

    private let state = Locked(State())
    let signals: VirtioSignals

    init(_ line: ScriptedDriver.InterruptBell) throws {
        signals = VirtioSignals(interrupt: line.interrupt)
        doorbells = try (0..<3).map { _ in try Doorbell() }
    }

    /// The queues whose doorbells rang since the last call.
    var rung: [Int] { doorbells.indices.filter { doorbells[$0].answer() } }

    var events: [Event] { state.withLock { $0.events } }
    var deviceID: UInt32 { 42 }
    var offeredFeatures: VirtioFeatures { [.version1, .eventIndex, Self.third] }

    func queueSizes(negotiated: VirtioFeatures) -> [UInt16] { negotiated.contains(Self.third) ? [128, 0, 1024] : [128, 0] }

    func readConfiguration(offset: Int, width: Int) -> UInt64 {
        state.withLock { state in
            (0..<width).reduce(UInt64(0)) { value, index in
                offset + index < 8 ? value | UInt64(state.configuration[offset + index]) << UInt64(8 * index) : value
            }
        }
    }

    func writeConfiguration(offset: Int, width: Int, value: UInt64) {
        state.withLock { state in
            for index in 0..<width where offset + index < 8 {
                state.configuration[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
            }
        }
    }

    func activate(_ features: VirtioFeatures, queues: [SplitVirtqueue?]) {
        state.withLock {
            $0.events.append(.activated(features, sizes: queues.map { $0?.layout.size }))
            $0.queues = queues
        }
    }

    func reset() { state.withLock { $0.events.append(.reset) } }
    func stop(queue: Int) { state.withLock { $0.events.append(.stopped(queue)) } }
    var queuePositions: [VirtqueuePosition?] { state.withLock { $0.queues.map { $0?.position } } }

    var identity: DeviceIdentity { DeviceIdentity(name: "recording", version: 1) }
    var requirements: [DeviceSection] { [] }
    func park() {}
    func unpark() {}
    func saveState() -> [UInt8] { [] }
    func decodeState(_ bytes: [UInt8], version: UInt32) -> DeviceRestoration { DeviceRestoration {} }
}

@Suite struct TransportTests {
    typealias Status = VirtioMMIO.Status
    let memory: GuestRAM
    let line: ScriptedDriver.InterruptBell
    let device: RecordingDevice
    let transport: VirtioMMIOTransport
    let driver: ScriptedDriver

    init() throws {
        memory = try GuestRAM(RegionTable(contiguousBytes: 1 << 20))
        line = try ScriptedDriver.InterruptBell()
        device = try RecordingDevice(line)
        transport = VirtioMMIOTransport(device, memory)
        driver = ScriptedDriver(memory, transport, line, ringBase: GuestAddress(0x1_0000))
    }

    private func read(_ offset: UInt64, width: Int = 4) -> UInt64 { transport.read(offset: offset, width: width) }

    @Test func `The device says who it is and what it offers, word by word`() {
        #expect(read(0x000) == 0x7472_6976)
        #expect(read(0x004) == 2)
        #expect(read(0x008) == 42)
        #expect(read(0x010) == 0x2000_0001)
        transport.write(.deviceFeaturesSelect, 1)
        #expect(read(0x010) == 1)
        transport.write(.deviceFeaturesSelect, 2)
        #expect(read(0x010) == 0)
        #expect(read(0x0B0) == 0xFFFF_FFFF)
        #expect(read(0x000, width: 2) == 0)
        #expect(read(0x002) == 0)
    }

    @Test(
        arguments: [[], [.eventIndex], [.version1, .indirectDescriptors], [.version1, VirtioFeatures(rawValue: 1 << 63)]]
            as [VirtioFeatures]
    )
    func `Features that were not offered, or a legacy driver, are refused`(features: VirtioFeatures) {
        #expect(throws: ScriptedDriver.Failure.featuresRefused) { try driver.negotiate(features) }
        driver.driverOK()
        #expect(driver.status == Status.acknowledge | Status.driver)
        #expect(device.events == [.reset])
    }

    @Test func `The steps to DRIVER_OK count only in order, and accepted features do not change`() throws {
        transport.write(.status, Status.driverOK)
        #expect(driver.status == 0)
        transport.write(.status, Status.featuresOK)
        #expect(driver.status == 0)
        try driver.negotiate([.version1])
        transport.write(.driverFeaturesSelect, 0)
        transport.write(.driverFeatures, 0x2000_0001)
        transport.write(.status, Status.driverOK)
        #expect(driver.status == Status.acknowledge | Status.driver | Status.featuresOK | Status.driverOK)
        transport.write(.status, Status.driverOK | Status.acknowledge)
        transport.write(.status, Status.failed)
        #expect(driver.status & Status.failed != 0)
        #expect(device.events == [.reset, .activated([.version1], sizes: [nil, nil])])
    }

    @Test func `The features decide which queues exist; ready queues do not change, and reach the device at DRIVER_OK`() throws {
        let features: VirtioFeatures = [.version1, RecordingDevice.third]
        try driver.negotiate([.version1])
        transport.write(.queueSelect, 2)
        #expect(transport.read(.queueSizeMaximum) == 0)
        try driver.negotiate(features)
        var maximums: [UInt32] = []
        for queue in [UInt32(0), 1, 2, 3, .max] {
            transport.write(.queueSelect, queue)
            maximums.append(transport.read(.queueSizeMaximum))
        }
        #expect(maximums == [128, 0, 1024, 0, 0])
        driver.setUp(queue: 0, VirtqueueLayout(size: 8, contiguousAt: GuestAddress(0x1000)))
        #expect(transport.read(.queueReady) == 1)
        transport.write(.queueSize, 3)
        transport.write(.queueDescriptorLow, 1)
        driver.setUp(queue: 1, VirtqueueLayout(size: 8, contiguousAt: GuestAddress(0x2000)))
        #expect(transport.read(.queueReady) == 0)
        driver.driverOK()
        #expect(device.events.last == .activated(features, sizes: [8, nil, nil]))
        #expect(device.rung == [0], "what came before DRIVER_OK")
        transport.write(.queueNotify, 2)
        transport.write(.queueNotify, 3)
        transport.write(.queueNotify, .max)
        #expect(device.rung == [2])
        transport.write(.status, 0)
        transport.write(.queueSelect, 0)
        #expect(transport.read(.queueReady) == 0)
        #expect(device.events.last == .reset)
    }

    @Test func `A driver can take a queue back while the device runs, and only a reset brings it back`() throws {
        try driver.negotiate([.version1])
        driver.setUp(queue: 0, VirtqueueLayout(size: 8, contiguousAt: GuestAddress(0x1000)))
        driver.driverOK()
        transport.write(.queueSelect, 0)
        transport.write(.queueReady, 0)
        #expect(transport.read(.queueReady) == 0)
        transport.write(.queueReady, 1)
        transport.write(.queueReady, 0)
        transport.write(.queueSelect, 7)
        transport.write(.queueReady, 0)
        #expect(device.events.filter { $0 == .stopped(0) }.count == 1 && !device.events.contains(.stopped(7)))
        transport.write(.queueSelect, 0)
        #expect(transport.read(.queueReady) == 0)
    }

    @Test(arguments: [0x8, 0xF_FFF0, UInt64.max - 15])
    func `A queue set up wrongly means NEEDS_RESET with the reason, not a device that runs`(table: UInt64) throws {
        try driver.negotiate([.version1])
        let good = VirtqueueLayout(size: 8, contiguousAt: GuestAddress(0x1000))
        driver.setUp(
            queue: 0,
            VirtqueueLayout(size: 8, descriptorTable: GuestAddress(table), driverArea: good.driverArea, deviceArea: good.deviceArea)
        )
        driver.driverOK()
        #expect(driver.status & Status.needsReset != 0)
        #expect(transport.read(.interruptStatus) == VirtioMMIO.Interrupt.configurationChange)
        #expect(transport.fault?.queue == 0)
        #expect(device.events == [.reset])
        try driver.start([.version1])
        #expect(driver.status & Status.needsReset == 0)
        #expect(transport.fault == nil)
    }

    @Test func `Interrupts wait for DRIVER_OK, stay until acknowledged, and go with a reset`() throws {
        device.signals.usedBuffers()
        device.signals.configurationChanged()
        #expect(transport.read(.interruptStatus) == 0)
        #expect(transport.read(.configurationGeneration) == 1)
        #expect(line.raised == 0)
        try driver.start([.version1])
        device.signals.usedBuffers()
        device.signals.configurationChanged()
        #expect(line.raised == 2)
        #expect(transport.read(.interruptStatus) == 3)
        transport.write(.interruptAcknowledge, 1)
        #expect(transport.read(.interruptStatus) == 2)
        transport.write(.interruptAcknowledge, .max)
        #expect(transport.read(.interruptStatus) == 0)
        device.signals.usedBuffers()
        transport.write(.status, 0)
        #expect(transport.read(.interruptStatus) == 0)
        #expect(transport.read(.configurationGeneration) == 2)
    }

    @Test func `The line drops when the last reason is acknowledged, and at a reset`() {
        let levels = Locked<[Bool]>([])
        let signals = VirtioSignals { level in levels.withLock { $0.append(level) } }
        let leveled = VirtioMMIOTransport(LeveledDevice(signals), memory)
        leveled.write(.status, Status.acknowledge | Status.driver)
        leveled.write(.driverFeaturesSelect, 1)
        leveled.write(.driverFeatures, 1)
        leveled.write(.status, Status.featuresOK)
        leveled.write(.status, Status.driverOK)
        signals.usedBuffers()
        signals.configurationChanged()
        leveled.write(.interruptAcknowledge, 1)
        leveled.write(.interruptAcknowledge, 2)
        leveled.write(.interruptAcknowledge, 2)
        signals.usedBuffers()
        leveled.write(.status, 0)
        #expect(levels.withLock { $0 } == [true, true, false, true, false])
    }

    @Test(
        arguments: 1...8 as ClosedRange<UInt64>
    )
    func `Nonsense at any offset, width and value neither traps nor stops the device from being used`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let registers = VirtioMMIO.Register.allCases
        for _ in 0..<20_000 {
            let offset: UInt64 =
                switch Int.random(in: 0..<4, using: &random) {
                case 0: random.next()
                case 1: .random(in: 0..<0x2000, using: &random)
                default: registers.randomElement(using: &random)!.rawValue
                }
            let width = [0, 1, 2, 3, 4, 4, 4, 4, 8, 16, -1, .max].randomElement(using: &random)!
            let value: UInt64 = Bool.random(using: &random) ? random.next() : .random(in: 0..<256, using: &random)
            if Bool.random(using: &random) {
                transport.write(offset: offset, width: width, value: value)
            } else {
                _ = transport.read(offset: offset, width: width)
            }
            if Int.random(in: 0..<2000, using: &random) == 0 { try driver.negotiate([.version1, RecordingDevice.third]) }
        }
        try driver.start([.version1])
        #expect(device.events.last == .activated([.version1], sizes: [64, nil]), "seed \(seed)")
    }

    @Test func `A restored transport reads as the saved one, with its interrupt raised and its queues at their positions`() throws {
        try driver.start([.version1, RecordingDevice.third])
        device.signals.usedBuffers()
        transport.write(.queueSelect, 2)
        let saved = transport.saveState()
        let otherLine = try ScriptedDriver.InterruptBell()
        let otherDevice = try RecordingDevice(otherLine)
        let other = VirtioMMIOTransport(otherDevice, memory)
        try other.decodeState(saved, version: VirtioMMIOTransport.stateVersion).apply()
        #expect(otherDevice.events == [.reset, .activated([.version1, RecordingDevice.third], sizes: [64, nil, 64])])
        #expect(otherLine.raised == 1)
        #expect(VirtioMMIO.Register.allCases.map { other.read($0) } == VirtioMMIO.Register.allCases.map { transport.read($0) })
        #expect(other.saveState() == saved)
        #expect(throws: DeviceStateError.version(9)) { try other.decodeState(saved, version: 9) }
    }
}

/// The smallest possible device.
private final class LeveledDevice: VirtioDevice {
    let signals: VirtioSignals
    init(_ signals: VirtioSignals) { self.signals = signals }
    var deviceID: UInt32 { 1 }
    var offeredFeatures: VirtioFeatures { .version1 }
    func queueSizes(negotiated: VirtioFeatures) -> [UInt16] { [] }
    func readConfiguration(offset: Int, width: Int) -> UInt64 { 0 }
    func writeConfiguration(offset: Int, width: Int, value: UInt64) {}
    func activate(_ features: VirtioFeatures, queues: [SplitVirtqueue?]) {}
    func reset() {}
    func stop(queue: Int) {}
    var doorbells: [Doorbell] { [] }
    var queuePositions: [VirtqueuePosition?] { [] }
    var identity: DeviceIdentity { DeviceIdentity(name: "leveled", version: 1) }
    var requirements: [DeviceSection] { [] }
    func park() {}
    func unpark() {}
    func saveState() -> [UInt8] { [] }
    func decodeState(_ bytes: [UInt8], version: UInt32) -> DeviceRestoration { DeviceRestoration {} }
}
