import AerostatBalloon
import AerostatGuestMemory
import AerostatMigration
import AerostatVirtio

/// The driver side of virtio-balloon's free-page hints, as Linux's `virtio_balloon.c` does it, on the kernel's worker thread.
///
/// It has no state but `DriverRecord` and the ring's, both in guest RAM: each call of `step` goes on where the last one stopped, in
/// whatever process. One difference from Linux: when the ring is full, Linux frees the block and tries again in a loop, which burns a
/// processor until the device has caught up. This driver asks for an interrupt and sleeps.
struct BalloonDriver: Sendable {
    let kernel: Kernel
    let transport: VirtioMMIOTransport

    var behaviour: DriverBehaviour { kernel.parameters.driver }

    /// Queues are numbered over the negotiated features: inflate 0, deflate 1, and, without statistics, hints 2.
    static let hintQueue: UInt32 = 2
    /// Where configuration space holds the command id.
    private static let commandIDOffset = VirtioMMIO.configurationOffset + UInt64(BalloonConfiguration.commandIDOffset)
    private static let poisonOffset = VirtioMMIO.configurationOffset + UInt64(BalloonConfiguration.poisonOffset)
    /// Blocks reported or freed between two safe points.
    static let blocksPerStep = 64
    static let topBlockBytes = UInt32(KernelLayout.topBlockPages << GuestPage.shift)

    /// What comes back from the ring with a buffer.
    enum Token: UInt64 { case block, start, stop }

    /// What the worker thread does next.
    enum Next { case again, sleepUntilInterrupt }

    // MARK: Probing

    /// Finds the device, negotiates, and sets the hint queue up. Needs no answer from another thread.
    func probe() throws(KernelPanic) {
        let old = kernel.driverRecord
        var record = DriverRecord()
        (record.rounds, record.reportedBlocks) = (old.rounds, old.reportedBlocks)
        defer { kernel.driverRecord = record }
        record.phase = .gone
        guard transport.read(.magicValue) == VirtioMMIO.magic, transport.read(.version) == VirtioMMIO.version,
            transport.read(.deviceID) == BalloonDevice.deviceID
        else { return }
        let poison: VirtioFeatures = kernel.parameters.poison == nil ? [] : .pagePoison
        let features = offeredFeatures().intersection([.version1, .eventIndex, .freePageHint, poison])
        guard transport.negotiate(features), features.contains(.freePageHint), let size = ringSize(), setUpQueue(size, features) else {
            transport.write(.status, VirtioMMIO.Status.failed)
            return
        }
        if let poison = kernel.parameters.poison, features.contains(.pagePoison) {
            transport.write(offset: Self.poisonOffset, width: 4, value: UInt64(poison))
        }
        transport.driverOK()
        record.phase = .live
        record.ringSize = UInt32(size)
        record.features = features.rawValue
        // A migration that began before the driver was there is answered too.
        record.mustReadID = 1
    }

    private func offeredFeatures() -> VirtioFeatures {
        var bits: UInt64 = 0
        for half in 0..<UInt32(2) {
            transport.write(.deviceFeaturesSelect, half)
            bits |= UInt64(transport.read(.deviceFeatures)) << (32 * UInt64(half))
        }
        return VirtioFeatures(rawValue: bits)
    }

    /// The largest power of two that device and driver both allow; `nil` below 2, as Linux.
    private func ringSize() -> UInt16? {
        transport.write(.queueSelect, Self.hintQueue)
        let maximum = min(transport.read(.queueSizeMaximum), UInt32(KernelLayout.ringSize))
        return maximum < 2 ? nil : 1 << UInt16(31 - maximum.leadingZeroBitCount)
    }

    private func setUpQueue(_ size: UInt16, _ features: VirtioFeatures) -> Bool {
        let layout = kernel.ringLayout(size: size)
        guard let ring = try? ring(size: size, features: features) else { return false }
        ring.format()
        _ = ring.setInterrupts(enabled: false)
        transport.setUp(queue: Int(Self.hintQueue), layout)
        return true
    }

    private func ring(size: UInt16, features: VirtioFeatures) throws(VirtqueueError) -> SplitVirtqueueDriver {
        let state = kernel.physicalAddress(KernelLayout.ringStateOffset)
        return try SplitVirtqueueDriver(kernel.memory.ram, kernel.ringLayout(size: size), stateAddress: state, features: features)
    }

    // MARK: One step between two safe points

    func step() throws(KernelPanic) -> Next {
        var record = kernel.driverRecord
        guard record.phase == .live else { return .sleepUntilInterrupt }
        // As in Linux, what was read is carried out before it is read anew: else an id that comes soon after DONE would leave blocks held,
        // and blocks that are held are not reported.
        if try !isGivingBack(record) { answerInterrupt(&record) }
        guard record.phase == .live else {
            kernel.driverRecord = record
            return try giveBack() ? .again : .sleepUntilInterrupt
        }
        guard let size = UInt16(exactly: record.ringSize), size >= 2, size <= KernelLayout.ringSize, size & (size - 1) == 0 else {
            throw KernelPanic("the balloon driver's ring has \(record.ringSize) entries")
        }
        let queue: SplitVirtqueueDriver
        do throws(VirtqueueError) {
            queue = try ring(size: size, features: VirtioFeatures(rawValue: record.features))
        } catch {
            throw KernelPanic("the balloon driver's ring: \(error)")
        }
        return try advance(&record, queue)
    }

    private func isGivingBack(_ record: DriverRecord) throws(KernelPanic) -> Bool {
        guard record.round == .idle, CommandID(rawValue: record.seenID) == .done else { return false }
        return try kernel.locked { kernel.allocator.heldBlocks > 0 }
    }

    /// Acknowledges before it looks, so that whatever comes later interrupts again.
    private func answerInterrupt(_ record: inout DriverRecord) {
        let reasons = transport.read(.interruptStatus)
        if reasons != 0 { transport.write(.interruptAcknowledge, reasons) }
        guard reasons & VirtioMMIO.Interrupt.configurationChange != 0 || record.mustReadID != 0 else { return }
        record.mustReadID = 0
        if transport.read(.status) & VirtioMMIO.Status.needsReset != 0 { return record.phase = .gone }
        record.seenID = UInt32(truncatingIfNeeded: transport.read(offset: Self.commandIDOffset, width: 4))
    }
}
