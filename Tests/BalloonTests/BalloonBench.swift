import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

/// A guest of 16 MiB with a hole, a balloon, and a driver that does what the test says.
struct BalloonBench {
    static let memoryBytes: UInt64 = 16 << 20
    /// RAM goes on here behind a hole.
    static let secondRegion: UInt64 = 0x1_0000_0000
    static let hintFeatures: VirtioFeatures = [.version1, .freePageHint, .pagePoison]
    static let hints = 2

    let memory: GuestRAM
    let device: BalloonDevice
    let slot: DeviceSlot
    var transport: VirtioMMIOTransport { slot.transport! }
    let line: ScriptedDriver.InterruptBell
    let driver: ScriptedDriver
    let sink: RecordingSink

    /// - Parameter memory: of a source, for the destination of a migration; fresh where `nil`.
    /// - Parameter hasThread: without it the device works when it is told to.
    init(
        options: BalloonOptions = BalloonOptions(),
        memory: GuestRAM? = nil,
        hasThread: Bool = true,
        clock: BalloonClock = .host
    ) throws {
        self.memory =
            try memory
            ?? GuestRAM(
                RegionTable([
                    MemoryRegion(base: GuestAddress(0), byteCount: Self.memoryBytes / 2),
                    MemoryRegion(base: GuestAddress(Self.secondRegion), byteCount: Self.memoryBytes / 2),
                ])
            )
        line = try ScriptedDriver.InterruptBell()
        device = try BalloonDevice(self.memory, options: options, clock: clock, hasThread: hasThread, interrupt: line.interrupt)
        slot = DeviceSlot(device, self.memory)
        driver = ScriptedDriver(self.memory, slot.transport!, line, ringBase: GuestAddress(0x1_0000))
        sink = RecordingSink(self.memory)
    }

    /// With a driver that is ready for hints.
    static func ready(_ features: VirtioFeatures = hintFeatures, ringSize: UInt16 = 64) throws -> BalloonBench {
        let bench = try BalloonBench()
        try bench.driver.start(features, ringSize: ringSize)
        #expect(bench.device.isAvailable)
        return bench
    }

    /// Opens a command, which the guest answers.
    func open() throws -> CommandID {
        let id = device.begin(reportingTo: sink)
        try driver.command(id, queue: Self.hints)
        try driver.settle(queue: Self.hints)
        #expect(sink.events.last == .started(id))
        return id
    }

    func send(_ blocks: (address: UInt64, byteCount: UInt32)...) throws {
        try driver.hint(blocks, queue: Self.hints)
    }

    @discardableResult
    func settle() throws -> [RawRing.Used] { try driver.settle(queue: Self.hints) }

    var shownID: CommandID { CommandID(rawValue: driver.configuration(BalloonConfiguration.commandIDOffset)) }
}

/// Lets a held hint thread go on after a while, from another thread.
func releaseLater(_ sink: RecordingSink) throws -> HostThread {
    try HostThread(name: "releaser") {
        Doorbell.silent().wait(timeout: .milliseconds(100))
        sink.release()
    }
}
