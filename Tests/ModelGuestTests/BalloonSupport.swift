import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import AerostatModelGuest
import TestSupport
import Testing

/// A guest with a balloon, most of whose memory was in use once.
func balloonGuest(
    _ mebibytes: UInt64 = 128,
    options: BalloonOptions = BalloonOptions(),
    _ change: (inout ModelGuestConfiguration) -> Void = { _ in }
) throws -> ModelGuest {
    let configuration = try configuration(mebibytes) {
        $0.freedShare = 0.85
        change(&$0)
    }
    return try ModelGuest(booting: configuration, tracker: .software, balloon: options)
}

extension ModelGuest {
    func settle(at pages: Int, _ comment: Comment = "the balloon reaches its target") async throws {
        balloon.setTarget(pages: pages)
        try await eventually(comment) { balloon.status.actualPages == UInt32(pages) && kernel!.balloonLists.leaving.blocks == 0 }
    }

    /// Frames that their records call the balloon's.
    var balloonedFrames: Set<Int> {
        Set((0..<memory.pageCount).filter { isBallooned($0) })
    }

    private func isBallooned(_ frame: Int) -> Bool {
        frame >= kernel!.memory.layout.firstFrame && kernel!.memory.record(of: frame).head?.state == .ballooned
    }

    /// The check is clean, the driver and the device agree as far as they can, and no page is in the balloon for the device alone.
    func expectBalloonIsSound(_ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let wasRunning = isRunning
        try pause()
        let result = try check()
        #expect(result.isClean, "\(result), \(panic ?? "no panic") \(comment ?? "")", sourceLocation: sourceLocation)
        let lists = kernel!.balloonLists
        #expect(result.pagesBallooned == Int(lists.pages.pages + lists.leaving.pages), comment, sourceLocation: sourceLocation)
        let frames = balloonedFrames
        var stray = 0
        balloon.ballooned.forEachRun { run in stray += run.indices.count { !frames.contains($0) } }
        #expect(stray == 0, "pages that the device takes for the balloon's, and the guest does not", sourceLocation: sourceLocation)
        if wasRunning { try resume() }
    }
}

/// Pages that take memory of this host, among some.
func residentPages(of memory: GuestRAM, in pages: some Sequence<Int>) throws -> Int {
    let present = try PageSet(pageCount: memory.pageCount)
    try memory.insertPresentPages(into: present)
    return pages.count { present.contains(PageIndex($0)) }
}

/// Moves a guest through the engine, over a socket pair.
final class Move: Sendable {
    let source: ModelGuest
    let migration: SourceMigration
    private let options: BalloonOptions
    private let received = Monitor(Received())

    struct Received {
        var guest: ModelGuest?
        var outcome: DestinationMigration.Outcome?
    }

    /// - Parameter options: what the destination's balloon offers.
    init(_ source: ModelGuest, options: BalloonOptions = BalloonOptions(), _ change: (inout MigrationParameters) -> Void = { _ in }) throws
    {
        self.source = source
        self.options = options
        var parameters = MigrationParameters()
        parameters.verifies = true
        parameters.hintGrace = .milliseconds(50)
        parameters.timeout = .milliseconds(1500)
        parameters.onTimeout = .pause
        change(&parameters)
        let owner = SourceMigration.Owner(
            statusChanged: { _ in },
            roundBegan: { _ in },
            isGuestRunning: { source.isRunning },
            handOver: { source.isRunning }
        )
        migration = try SourceMigration(guest: source, parameters: parameters, owner: owner, limits: MigrationLimits())
    }

    func start() throws {
        let (here, there) = try connectedSockets()
        let doorbell = try Doorbell()
        let (options, received) = (options, received)
        _ = try HostThread(name: "incoming") {
            let outcome: DestinationMigration.Outcome
            do throws(TransportError) {
                let link = try makeSocketTransport(OwnedDescriptor(adopting: there), doorbell: doorbell, plainRing: false)
                outcome = DestinationMigration(link, shape: nil, doorbell: doorbell, limits: MigrationLimits()) {
                    (regions, _) throws(GuestError) in
                    do {
                        let guest = try ModelGuest(shell: regions, tracker: .software, balloon: options)
                        received.update { $0.guest = guest }
                        return guest
                    } catch { throw GuestError("\(error)") }
                }.run()
            } catch { outcome = .failed("\(error)") }
            received.update { $0.outcome = outcome }
        }
        try migration.start { doorbell throws(TransportError) in
            try makeSocketTransport(OwnedDescriptor(adopting: here), doorbell: doorbell, plainRing: false)
        }
    }

    /// - Returns: the guest at the destination; `nil` where it stayed.
    func finish() -> ModelGuest? {
        let outcome = migration.wait()
        let arrival = received.wait { $0.outcome }
        guard outcome == .completed, case .running? = arrival else {
            received.withLock { $0.guest }?.shutdown()
            return nil
        }
        return received.withLock { $0.guest }
    }
}
