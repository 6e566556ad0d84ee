import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import TestSupport
import Testing

/// A source and a destination over one link, each on its own thread.
final class Pair: Sendable {
    let source: ScriptedGuest
    let hinting: ScriptedHinting?
    let migration: SourceMigration
    let statuses = Locked<[MigrationReport.Status]>([])
    private let received = Monitor(Received())

    struct Received {
        var guest: ScriptedGuest?
        /// The requirements of the guest that arrived.
        var requirements: [DeviceSection]?
        var outcome: DestinationMigration.Outcome?
    }

    struct Setup: Sendable {
        var pages = 2048
        var tracker: TrackerKind = .software
        var writing = 0
        var working = 0..<0
        /// What backs the guest's memory; and the pages of it that are given back to the host during the test.
        var backing: TestBacking?
        var givingBack = 0..<0
        /// Used instead of memory in one region.
        var memory: GuestRAM?
        var destinationMemory: (@Sendable (RegionTable) throws -> GuestRAM)?
        var hints: ScriptedHinting.Script?
        /// Free at the start.
        var free = 0..<0
        /// Filled at the start. The other pages never existed.
        var filled: Range<Int>?
        var parameters = MigrationParameters()
        var limits = MigrationLimits()
        var destinationLimits = MigrationLimits()
        var plainRing = false
        var paused = false
        var seed: UInt64 = 1
        /// Why the destination refuses the guest.
        var refusal: String?
    }

    init(_ setup: Setup) throws {
        let memory =
            try setup.memory ?? setup.backing.map { try BackedMemory($0, pages: setup.pages).memory }
            ?? GuestRAM(regionTable(pages: setup.pages))
        for page in setup.filled ?? 0..<setup.pages { ScriptedGuest.scribble(memory, page, with: UInt64(page % 5)) }
        let free = FreePages(setup.free)
        hinting = try setup.hints.map { try ScriptedHinting(free, memory, $0) }
        source = try ScriptedGuest(
            memory,
            tracker: try makeTracker(setup.tracker, for: memory),
            hinting: hinting,
            free: free,
            writing: setup.writing,
            working: setup.working,
            givingBack: setup.givingBack,
            unit: setup.backing?.unitPages ?? 1,
            seed: setup.seed,
            paused: setup.paused
        )
        let owner = SourceMigration.Owner(
            statusChanged: { [statuses] status in statuses.withLock { $0.append(status) } },
            roundBegan: { _ in },
            isGuestRunning: { [source] in source.isRunning },
            handOver: { [source] in source.isRunning }
        )
        migration = try SourceMigration(guest: source, parameters: setup.parameters, owner: owner, limits: setup.limits)
        self.setup = setup
    }

    private let setup: Setup

    /// Starts the source over a descriptor.
    func startSource(_ number: Int32) throws {
        try migration.start { [setup] (doorbell) throws(TransportError) in
            try makeSocketTransport(OwnedDescriptor(adopting: number), doorbell: doorbell, plainRing: setup.plainRing)
        }
    }

    /// Starts a destination over a descriptor.
    func startDestination(_ number: Int32, shape: RegionTable? = nil, doorbell: Doorbell? = nil) throws {
        let doorbell = try doorbell ?? Doorbell()
        let (setup, received) = (setup, received)
        _ = try HostThread(name: "incoming") {
            let outcome: DestinationMigration.Outcome
            do throws(TransportError) {
                let link = try makeSocketTransport(OwnedDescriptor(adopting: number), doorbell: doorbell, plainRing: setup.plainRing)
                let makeGuest: DestinationMigration.GuestFactory = { (regions, requirements) throws(GuestError) in
                    received.update { $0.requirements = requirements }
                    if let refusal = setup.refusal { throw GuestError(refusal) }
                    do {
                        let memory = try setup.destinationMemory?(regions) ?? GuestRAM(regions)
                        let guest = try ScriptedGuest(memory, tracker: SoftwareTracker(memory), paused: true)
                        received.update { $0.guest = guest }
                        return guest
                    } catch { throw GuestError("\(error)") }
                }
                outcome = DestinationMigration(
                    link,
                    shape: shape,
                    doorbell: doorbell,
                    limits: setup.destinationLimits,
                    makeGuest: makeGuest
                ).run()
            } catch { outcome = .failed("\(error)") }
            received.update { $0.outcome = outcome }
        }
    }

    /// Starts both sides over a socket pair.
    /// - Parameter isThere: then waits until the report says this, but not for ever.
    func start(awaiting isThere: ((MigrationReport) -> Bool)? = nil) throws {
        let (a, b) = try connectedSockets()
        try startDestination(b)
        try startSource(a)
        guard let isThere else { return }
        let deadline = MonotonicClock.now() + .seconds(20)
        while !isThere(migration.report), MonotonicClock.now() < deadline { HostThread.sleep(for: .milliseconds(1)) }
    }

    /// Runs both sides over a socket pair.
    func run() throws -> SourceSession.Outcome {
        try start()
        return migration.wait()
    }

    var destination: ScriptedGuest? { received.withLock { $0.guest } }
    var requirements: [DeviceSection]? { received.withLock { $0.requirements } }

    func destinationOutcome() -> DestinationMigration.Outcome {
        received.wait { $0.outcome }!
    }

    /// Pages in use that differ. Both guests must be paused (or the source's paused and the destination's without a writer).
    func differences() throws -> [Int] {
        let there = try #require(destination).memory
        return (0..<source.memory.pageCount).filter { page in
            guard !source.isFree(page) else { return false }
            return source.memory.digest(PageIndex(page)) != there.digest(PageIndex(page))
        }
    }

    func end() {
        source.end()
        hinting?.end()
    }
}

/// Checks that the guest is only at the source, and that its balloon is done.
func expectGuestIsHere(_ pair: Pair, _ comment: Comment? = nil) {
    #expect(pair.source.isRunning, comment)
    #expect(pair.destination?.isRunning != true, comment)
    let calls = pair.source.calls
    #expect(calls.filter { $0 == .resume }.count == calls.filter { $0 == .pause }.count, comment)
    if let hinting = pair.hinting {
        #expect(!hinting.isOpen, comment)
        #expect(hinting.statistics.commands == 0 || hinting.doneCount > 0, comment)
    }
}
