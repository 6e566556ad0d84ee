import AerostatBalloon
import AerostatGuestMemory
import AerostatMigration
import AerostatVirtio

/// The driver side of virtio-balloon, which works like Linux's `virtio_balloon.c` and `page_reporting.c`. It runs on the kernel's worker
/// thread.
///
/// All its state is in guest RAM: `DriverRecord`, `BalloonRecord` and the rings. Each call of `step` continues where the last one stopped,
/// in any process. One difference from Linux: when the hint ring is full, Linux frees the block and tries again in a loop, which keeps a
/// processor busy until the device has caught up. This driver asks for an interrupt and sleeps.
struct BalloonDriver: Sendable {
    let kernel: Kernel
    let transport: VirtioMMIOTransport

    var behaviour: DriverBehaviour { kernel.parameters.driver }

    /// Hint blocks reported or freed between two safe points.
    static let blocksPerStep = 64
    static let topBlockBytes = UInt32(KernelLayout.topBlockPages << GuestPage.shift)
    /// Linux reports the same number of blocks at once.
    static let reportBlocks = 32
    /// How long inflating waits after it found no free page.
    static let retryNanoseconds: UInt64 = 200_000_000

    /// The token of a returned buffer on the hint ring.
    enum Token: UInt64 { case block, start, stop }

    /// What the worker thread does next.
    enum Next: Hashable {
        case again
        /// Sleeps until the device interrupts, at the latest until a time on the guest's clock.
        case sleep(until: UInt64)

        static let sleepUntilInterrupt = Next.sleep(until: .max)

        /// The earlier of the two.
        func or(_ other: Next) -> Next {
            guard case .sleep(let first) = self, case .sleep(let second) = other else { return .again }
            return .sleep(until: min(first, second))
        }
    }

    // MARK: One step between two safe points

    /// - Parameter now: the time on the guest's clock, in nanoseconds.
    func step(now: UInt64) throws(KernelPanic) -> Next {
        var record = kernel.driverRecord
        if let next = try serveRequest(&record, now) { return next }
        guard record.phase == .live else { return try letGo(record) }
        // As in Linux, the last command is carried out before the word is read again. Otherwise a new id soon after DONE would leave
        // blocks held, and held blocks are not reported.
        if try !isGivingBack(record) { answerInterrupt(&record) }
        kernel.driverRecord = record
        guard record.phase == .live else { return .again }
        var next = Next.sleepUntilInterrupt
        if record.ringSize > 0 { next = try advance(&record, ring(.freePageHint, record)) }
        // The driver may have given up the device.
        guard record.phase == .live else { return .again }
        var balloon = kernel.balloonRecord
        defer { kernel.balloonRecord = balloon }
        next = next.or(try advanceBalloon(&balloon, &record, now))
        if record.phase != .live {
            kernel.driverRecord = record
            return .again
        }
        next = next.or(try advanceStatistics(&balloon, record))
        next = next.or(try advanceReporting(&balloon, record, now))
        return next.or(disturb(&balloon, now))
    }

    /// The driver has given up the device. Blocks held for hints and isolated for reports return to the guest. The balloon's pages stay in
    /// the balloon until a reset, because the device may do anything with them.
    private func letGo(_ record: DriverRecord) throws(KernelPanic) -> Next {
        guard record.phase == .gone else { return .sleepUntilInterrupt }
        let hadReports = try kernel.locked { () throws(KernelPanic) in
            guard kernel.balloonSignals.reports != 0 || kernel.balloonLists.isolated.blocks > 0 else { return false }
            kernel.balloonSignals = BalloonSignals(request: kernel.balloonSignals.request)
            try kernel.returnIsolated(areReported: false)
            return true
        }
        return try giveBack() || hadReports ? .again : .sleepUntilInterrupt
    }

    private func isGivingBack(_ record: DriverRecord) throws(KernelPanic) -> Bool {
        guard record.round == .idle, CommandID(rawValue: record.seenID) == .done else { return false }
        return try kernel.locked { kernel.allocator.heldBlocks > 0 }
    }

    /// Acknowledges before it reads, so that any later change interrupts again.
    private func answerInterrupt(_ record: inout DriverRecord) {
        let reasons = transport.read(.interruptStatus)
        if reasons != 0 { transport.write(.interruptAcknowledge, reasons) }
        guard reasons & VirtioMMIO.Interrupt.configurationChange != 0 || record.mustReadID != 0 else { return }
        record.mustReadID = 0
        if transport.read(.status) & VirtioMMIO.Status.needsReset != 0 { return record.phase = .gone }
        if record.ringSize > 0 { record.seenID = configuration(BalloonConfiguration.commandIDOffset) }
        let target = configuration(BalloonConfiguration.targetPagesOffset)
        var balloon = kernel.balloonRecord
        if target != balloon.target, behaviour.liesAboutPages { balloon.lie = 1 }
        balloon.target = target
        balloon.follows = 1
        kernel.balloonRecord = balloon
    }

    // MARK: Configuration space

    private func configuration(_ offset: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: transport.read(offset: VirtioMMIO.configurationOffset + UInt64(offset), width: 4))
    }

    func setConfiguration(_ offset: Int, _ value: UInt32) {
        transport.write(offset: VirtioMMIO.configurationOffset + UInt64(offset), width: 4, value: UInt64(value))
    }
}
