import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import TestSupport
import Testing

/// A timeout interrupts a batch when some of its frames have left.
@Suite struct InterruptedBatchTests {
    @Test func `A page that was sent before its round was interrupted does not count as spared, and travels once`() throws {
        // Zero pages alternate with others: one batch of 2048 pages makes 2048 descriptors, which are three frames.
        let memory = try GuestRAM(regionTable(pages: 2048))
        for page in 0..<2048 { ScriptedGuest.scribble(memory, page, with: page % 2 == 0 ? 0 : 7) }
        let hinting = LateHinting()
        let guest = try ScriptedGuest(memory, tracker: SoftwareTracker(memory), hinting: hinting)
        var parameters = MigrationParameters()
        parameters.hintGrace = .milliseconds(1)
        parameters.timeout = .milliseconds(300)
        parameters.onTimeout = .pause
        let owner = SourceMigration.Owner(
            statusChanged: { _ in },
            roundBegan: { _ in },
            isGuestRunning: { guest.isRunning },
            handOver: { guest.isRunning }
        )
        let migration = try SourceMigration(guest: guest, parameters: parameters, owner: owner)
        try migration.start { (_) throws(TransportError) in
            FirstFrameTransport { hinting.hint(firstPages: RunDescriptor.maximumCount, of: memory.regions) }
        }
        #expect(migration.wait() == .completed)
        let report = migration.report
        #expect(report.freePageHints.reportedPages == RunDescriptor.maximumCount)
        #expect(report.freePageHints.skippedPages == 0, "pages that travelled count as spared")
        #expect(report.ram.normal + report.ram.duplicate == 2048)
    }
}

/// Sends hints when a test says so.
private final class LateHinting: FreePageHinting {
    private let open = Locked<(CommandID, any HintSink)?>(nil)

    var isAvailable: Bool { true }
    var fillsFreedPages: Bool { true }
    var statistics: HintStatistics { HintStatistics() }
    func resetStatistics() {}

    func begin(reportingTo sink: any HintSink) -> CommandID {
        let id = CommandID.minimum
        sink.hintsOpened(id)
        sink.hintsStarted(id)
        open.withLock { $0 = (id, sink) }
        return id
    }

    func hint(firstPages count: Int, of regions: RegionTable) {
        guard let (id, sink) = open.withLock({ $0 }) else { return }
        _ = sink.hint(id, address: regions.address(of: PageIndex(0)), byteCount: UInt64(count * GuestPage.size))
    }

    func stop() { open.withLock { $0 = nil } }
    func done(heard: (@Sendable () -> Void)?) { stop() }
}

/// A link that accepts one frame of pages, and no other until the guest is paused. Its other side answers at once.
private final class FirstFrameTransport: Transport {
    private let tookFirst: () -> Void
    private var answers: [Frame] = []
    private var hasTakenOne = false
    private var waits = 0

    init(tookFirst: @escaping () -> Void) { self.tookFirst = tookFirst }

    var pageCount = 0
    let isDisk = false
    let switchOverCost: Duration = .zero
    private(set) var bytesSent = 0
    let bytesReceived = 0
    private(set) var canSend = true
    let hasSentAll = true
    let hasReceivedPages = true

    func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) {
        bytesSent += 40
        switch frame {
        case .hello: answers.append(frame)
        case .runs where !hasTakenOne:
            hasTakenOne = true
            canSend = false
        case .roundEnd(let round): answers.append(.progress(round: round))
        case .switchover: answers.append(.ready(Ready()))
        case .commit: answers.append(.running)
        default: break
        }
    }

    func takeFrame() throws(TransportError) -> Frame? { answers.isEmpty ? nil : answers.removeFirst() }
    func receivePages(_ runs: [PageRun], into memory: GuestRAM) throws(TransportError) {}
    func discardIncoming(until deadline: ContinuousClock.Instant) {}

    func wait(until deadline: ContinuousClock.Instant?) throws(TransportError) {
        guard !canSend else { return HostThread.sleep(for: .milliseconds(1)) }
        waits += 1
        if waits == 1 { tookFirst() }
        HostThread.sleep(for: .milliseconds(10))
        // Long after the timeout.
        if waits == 50 { canSend = true }
    }
}
