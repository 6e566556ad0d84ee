package import AerostatGuestMemory
import AerostatHost
package import AerostatMigration
package import AerostatVirtio
import Synchronization

/// A guest's virtio driver that does what a test says: it speaks to the registers and writes real rings in real guest memory.
///
/// Give `interrupt` to the device. Rings lie one behind the other from `ringBase`; commands are written to a page before it.
package final class ScriptedDriver {
    package enum Failure: Error, Hashable {
        /// The device did not do it within 10 seconds.
        case timeout(String)
        case featuresRefused
    }

    package let memory: GuestRAM
    package let transport: VirtioMMIOTransport
    package let line: InterruptBell
    package var rings: [RawRing] = []
    private let ringBase: GuestAddress
    private var commandSlot: UInt64 = 0

    /// An interrupt line that can be waited for.
    package final class InterruptBell: Sendable {
        private let bell: Doorbell
        private let count = Atomic<Int>(0)

        package init() throws { bell = try Doorbell() }

        /// What a device is given.
        package var interrupt: @Sendable (Bool) -> Void {
            { level in
                guard level else { return }
                self.count.add(1, ordering: .relaxed)
                self.bell.ring()
            }
        }

        package var raised: Int { count.load(ordering: .relaxed) }

        package func wait(until condition: () throws -> Bool, _ what: String) throws {
            let deadline = MonotonicClock.now() + .seconds(10)
            while try !condition() {
                let left = MonotonicClock.now().duration(to: deadline)
                if left <= .zero { throw Failure.timeout(what) }
                bell.wait(timeout: left)
            }
        }
    }

    package init(_ memory: GuestRAM, _ transport: VirtioMMIOTransport, _ line: InterruptBell, ringBase: GuestAddress) {
        self.memory = memory
        self.transport = transport
        self.line = line
        self.ringBase = ringBase
    }

    // MARK: Registers

    package var status: UInt32 { transport.read(.status) }

    package func configuration(_ offset: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: transport.read(offset: VirtioMMIO.configurationOffset + UInt64(offset), width: 4))
    }

    /// Offers features up to FEATURES_OK.
    package func negotiate(_ features: VirtioFeatures) throws {
        guard transport.negotiate(features) else { throw Failure.featuresRefused }
    }

    /// Tells the device where a queue is.
    package func setUp(queue: Int, _ layout: VirtqueueLayout) { transport.setUp(queue: queue, layout) }

    package func driverOK() { transport.driverOK() }

    /// The whole way from reset to DRIVER_OK, with fresh rings for every queue that exists.
    /// - Parameter ringSize: of those that may be so large.
    /// - Parameter poison: written into a balloon's configuration, where there is one.
    package func start(_ features: VirtioFeatures, ringSize: UInt16 = 64, poison: UInt64? = nil) throws {
        try negotiate(features)
        if let poison { transport.write(offset: VirtioMMIO.configurationOffset + 12, width: 4, value: poison) }
        rings = []
        var base = ringBase.rawValue
        for (queue, maximum) in transport.device.queueSizes(negotiated: features).enumerated() {
            let size = maximum == 0 ? ringSize : min(ringSize, maximum)
            let layout = VirtqueueLayout(size: size, contiguousAt: GuestAddress(base))
            let count = VirtqueueLayout.contiguousByteCount(size: size)
            try memory.fill(0, at: GuestAddress(base), byteCount: count)
            base += UInt64((count + 15) & ~15)
            rings.append(RawRing(memory, layout))
            setUp(queue: queue, layout)
        }
        driverOK()
    }

    package func kick(_ queue: Int) { transport.write(.queueNotify, UInt32(queue)) }

    // MARK: Free-page hints

    /// Sends a device-readable buffer: a command, or what claims to be one.
    package func command(_ bytes: [UInt8], queue: Int) throws {
        commandSlot = (commandSlot + 64) % 4096
        let address = GuestAddress(ringBase.rawValue - 4096 + commandSlot)
        try memory.write(bytes, at: address)
        try rings[queue].send([VirtqueueSegment(address: address, length: UInt32(bytes.count), isWritable: false)])
        kick(queue)
    }

    package func command(_ id: CommandID, queue: Int) throws {
        let word = id.rawValue
        try command((0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }, queue: queue)
    }

    /// Sends free blocks in one chain.
    package func hint(_ blocks: [(address: UInt64, byteCount: UInt32)], queue: Int) throws {
        try rings[queue].send(
            blocks.map { VirtqueueSegment(address: GuestAddress($0.address), length: $0.byteCount, isWritable: true) }
        )
        kick(queue)
    }

    /// Sleeps until the device has given back all that was sent, and tells what came since this was last asked.
    @discardableResult
    package func settle(queue: Int) throws -> [RawRing.Used] {
        let ring = rings[queue]
        // Where EVENT_IDX was negotiated: an interrupt for the last chain. Elsewhere nobody reads it.
        try ring.setUsedEvent(ring.available &- 1)
        try line.wait(until: { try ring.usedIndex() == ring.available }, "chains given back on queue \(queue)")
        return try rings[queue].newUsed()
    }
}
