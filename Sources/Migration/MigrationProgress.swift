import AerostatGuestMemory
import AerostatHost

/// The state of a migration at one moment: what the session decided, and what the ledger, the link and the device have counted.
///
/// The driver publishes a new value again and again. The report is made from it here and nowhere else. Events and the live view read the
/// same value.
public struct MigrationProgress: Sendable {
    /// The session's part: status, times, rounds, verification.
    public var session: MigrationReport
    public var pages = PageCounts()
    public var traffic = Traffic()
    public var hints = HintStatistics()
    /// Reports since the migration began.
    public var balloon = BalloonFigures()
    /// What a link is waiting for, where that may take long and can be said.
    public var waitingFor: String?
    /// Bytes that left this process.
    public var bytesSent = 0
    /// Of these, the bytes that had left when the guest was paused; `nil` before.
    public var bytesAtPause: Int?
    /// The link's recent rate, in bytes a second; 0 if it is unknown or no longer of interest.
    public var bytesPerSecond: Double = 0
    /// Since the migration began.
    public var elapsed: Duration = .zero
    /// The destination, as the person wrote it.
    public var destination: String?
    public var tracker: String?
    /// The guest's own memory counters when the migration began.
    public var guest: MemoryUse?
    #if Instruments
        public var longestHold = LockHold()
    #endif

    /// Pages handed to the link, over the whole migration.
    public struct Traffic: Hashable, Sendable {
        public var normalPages = 0
        public var zeroPages = 0
        /// Of these, the pages that had been free.
        public var zeroedPages = 0
        public var freePages = 0

        public init() {}
    }

    public init(_ session: MigrationReport = MigrationReport()) { self.session = session }

    /// The report at this moment.
    public var report: MigrationReport {
        var report = session
        let isOver = report.status.isOver
        report.destination = destination
        report.tracker = tracker
        report.guest = guest
        if !isOver {
            report.waitingFor = waitingFor
            report.totalTime = Int(elapsed.inMilliseconds)
            if bytesPerSecond > 0 { report.ram.mbps = bytesPerSecond * 8 / 1e6 }
        }
        fillMemory(&report.ram)
        fillHints(&report.freePageHints)
        fillBalloon(&report.balloon)
        #if Instruments
            report.longestLockHoldMicroseconds = longestHold.elapsed.inSeconds * 1e6
            report.longestLockHoldProcessorMicroseconds = longestHold.processor.inSeconds * 1e6
        #endif
        return report
    }

    private func fillMemory(_ ram: inout MigrationReport.RAM) {
        ram.transferred = bytesSent
        ram.precopyBytes = bytesAtPause ?? bytesSent
        ram.downtimeBytes = bytesSent - ram.precopyBytes
        ram.remaining = pages.pending * ram.pageSize
        ram.normal = traffic.normalPages
        ram.normalBytes = traffic.normalPages * ram.pageSize
        ram.duplicate = traffic.zeroPages
    }

    private func fillHints(_ report: inout MigrationReport.FreePageHints) {
        report.commands = hints.commands
        // The device counts the blocks that it rejects itself and those that the ledger rejects.
        report.staleBlocks = hints.staleBlocks
        report.invalidBlocks = hints.invalidBlocks
        report.reportedPages = pages.reported
        report.skippedPages = pages.skipped
        report.avoidedBytes = pages.skipped * GuestPage.size
        report.redirtiedPages = pages.redirtied
        report.zeroedPages = traffic.zeroedPages
        report.droppedBytes = pages.droppedBytes
    }

    private func fillBalloon(_ report: inout MigrationReport.Balloon) {
        report.balloonedPages = balloon.balloonedPages
        report.reportedPages = balloon.reportedPages
        report.discardedPages = pages.discarded
        report.unsentPages = pages.discardedUnsent
        report.zeroedPages = pages.discardedAfterSent
    }
}
