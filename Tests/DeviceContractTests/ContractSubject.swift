import AerostatBalloon
import AerostatEntropy
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

/// A device that the contract is held against. A new device needs a line in `all`, and all tests of the contract run over it.
struct ContractSubject: Sendable, CustomTestStringConvertible {
    let name: String
    /// Negotiated; everything that the device offers beside the ring's features.
    let features: VirtioFeatures
    /// A queue, and what a driver sends on it that the device gives back at once.
    let queue: Int
    let request: [VirtqueueSegment]
    let make: @Sendable (GuestRAM, _ interrupt: @escaping @Sendable (Bool) -> Void) throws -> any VirtioDevice

    var testDescription: String { name }

    /// Where requests point: outside the rings.
    static let buffer: UInt64 = 0x8_0000

    private static func segment(_ count: UInt32, isWritable: Bool) -> VirtqueueSegment {
        VirtqueueSegment(address: GuestAddress(buffer), length: count, isWritable: isWritable)
    }

    static let all: [ContractSubject] = [
        ContractSubject(
            name: "balloon, inflate",
            features: [.version1, .freePageHint, .pagePoison],
            queue: 0,
            request: [segment(64, isWritable: false)],
            make: { try BalloonDevice($0, interrupt: $1) }
        ),
        ContractSubject(
            name: "balloon, hints",
            features: [.version1, .freePageHint],
            queue: 2,
            request: [segment(4, isWritable: false), segment(4096, isWritable: true)],
            make: { try BalloonDevice($0, interrupt: $1) }
        ),
        ContractSubject(
            name: "balloon, deflate",
            features: [.version1, .statistics, .reporting, .deflateOnOOM],
            queue: 1,
            request: [segment(64, isWritable: false)],
            make: { try BalloonDevice($0, interrupt: $1) }
        ),
        ContractSubject(
            name: "balloon, reports",
            features: [.version1, .reporting],
            queue: 2,
            request: [segment(4096, isWritable: true)],
            make: { try BalloonDevice($0, interrupt: $1) }
        ),
        ContractSubject(
            name: "entropy",
            features: [.version1],
            queue: 0,
            request: [segment(512, isWritable: true)],
            make: { try EntropyDevice($0, interrupt: $1) }
        ),
    ]
}

/// A subject in a machine of 1 MiB, with a driver.
struct ContractBench {
    let subject: ContractSubject
    let memory: GuestRAM
    let device: any VirtioDevice
    let slot: DeviceSlot
    let driver: ScriptedDriver
    var transport: VirtioMMIOTransport { slot.transport! }

    /// - Parameter memory: of a source, for a destination.
    init(_ subject: ContractSubject, memory: GuestRAM? = nil) throws {
        self.subject = subject
        self.memory = try memory ?? GuestRAM(regionTable(pages: 256))
        let line = try ScriptedDriver.InterruptBell()
        device = try subject.make(self.memory, line.interrupt)
        slot = DeviceSlot(device, self.memory)
        driver = ScriptedDriver(self.memory, slot.transport!, line, ringBase: GuestAddress(0x1_0000))
    }

    func start() throws { try driver.start(subject.features, ringSize: 64) }

    /// Puts a request into the ring, and kicks.
    func send() throws {
        try driver.rings[subject.queue].send(subject.request)
        driver.kick(subject.queue)
    }

    func settle() throws -> Int { try driver.settle(queue: subject.queue).count }

    var usedIndex: UInt16 { get throws { try driver.rings[subject.queue].usedIndex() } }

    /// Digests of all pages.
    var digests: [UInt64] { (0..<memory.pageCount).map { memory.digest(PageIndex($0)) } }

    /// Gives a thread that would do wrong the time to do it.
    static func wait() { HostThread.sleep(for: .milliseconds(20)) }
}
