public import AerostatGuestMemory
public import AerostatHost
public import AerostatMigration

/// Drives a `DestinationSession` over one link, on the calling thread.
public final class DestinationMigration {
    /// How an incoming migration ended.
    public enum Outcome: Hashable, Sendable {
        /// The guest is here. `guestRuns` is false if it was paused at the source, or was not to be started.
        case running(guestRuns: Bool)
        /// What arrived was not a migration. Nothing was changed, and another may arrive.
        case notAMigration(String)
        /// A migration began and failed. The guest is not here.
        case failed(String)
        /// Commit arrived, but the guest could not be started. It runs nowhere, and the source holds its memory.
        case committedButDead(String)
    }

    /// Makes the empty guest in the shape that the source announced, from what the guest requires (`Guest.requirements`, as the source sent
    /// them). An error refuses the migration: both sides report it, nothing has been moved, and the guest stays where it is.
    public typealias GuestFactory = (RegionTable, _ requirements: [DeviceSection]) throws(GuestError) -> any Guest
    /// Called when this process has the guest, with whether the guest runs, before the source is told. So whoever asks after the source was
    /// told finds the guest here. `since` is the time just before the guest was started, because the guest may take the processor from the
    /// thread that makes this call.
    public typealias Arrival = (_ runs: Bool, _ since: MonotonicClock.Instant) -> Void

    /// A zero run of at least this many pages is given back to the host, if it held data. Clearing a shorter one costs less than the call.
    private static let worthGivingBackPages = 4

    private let link: any Transport
    private let makeGuest: GuestFactory
    private let startsGuest: Bool
    private let arrived: Arrival
    private var session: DestinationSession
    private var guest: (any Guest)?
    private var pages: ReceivedPages?
    private var hugePages = ArrivalPreparation()
    private var runsAfterCommit = true
    private let doorbell: Doorbell
    private let limits: MigrationLimits
    /// The last round that was applied completely.
    private var appliedRound: UInt32 = 0
    /// How many bytes had arrived when this side last sent the source a frame, and when that was.
    private var lastWord: (bytes: Int, at: MonotonicClock.Instant)

    /// Ends the migration with a reason for the peer and the log.
    private enum Failure: Error {
        /// An error of this side. The peer is told.
        case ours(String)
        /// The link is gone.
        case link(TransportError)
        /// The peer sent this reason.
        case peer(String)
        /// This process is asked to quit.
        case quit
    }

    /// - Parameters:
    ///   - shape: the memory that the guest must have; `nil` accepts the source's.
    ///   - doorbell: ends the migration from outside (when the process is asked to quit).
    ///   - startsGuest: false leaves the guest paused, whatever its state was at the source.
    public convenience init(
        _ link: any Transport,
        shape: RegionTable?,
        doorbell: Doorbell,
        startsGuest: Bool,
        arrived: @escaping Arrival,
        makeGuest: @escaping GuestFactory
    ) {
        self.init(
            link,
            shape: shape,
            doorbell: doorbell,
            limits: MigrationLimits(),
            startsGuest: startsGuest,
            arrived: arrived,
            makeGuest: makeGuest
        )
    }

    /// As the public initialiser, with other limits; for tests of silent peers.
    package init(
        _ link: any Transport,
        shape: RegionTable?,
        doorbell: Doorbell,
        limits: MigrationLimits,
        startsGuest: Bool = true,
        arrived: @escaping Arrival = { _, _ in },
        makeGuest: @escaping GuestFactory
    ) {
        self.limits = limits
        self.doorbell = doorbell
        #if BrokenEngines
            (self.link, self.makeGuest) = EngineHooks.decorators?.destination(link, makeGuest) ?? (link, makeGuest)
        #else
            (self.link, self.makeGuest) = (link, makeGuest)
        #endif
        self.startsGuest = startsGuest
        self.arrived = arrived
        session = DestinationSession(shape: shape)
        lastWord = (0, limits.clock())
    }

    /// Receives the guest.
    public func run() -> Outcome {
        do throws(Failure) {
            while true {
                let frame = try nextFrame(within: session.isGreeted ? limits.silence : limits.greeting)
                let effects: [DestinationSession.Effect]
                do throws(StreamError) { effects = try session.handle(frame) } catch { throw .ours("\(error)") }
                for effect in effects {
                    if let outcome = try perform(effect) { return outcome }
                }
            }
        } catch {
            return conclude(error)
        }
    }

    private func conclude(_ failure: Failure) -> Outcome {
        let reason: String
        switch failure {
        case .ours(let text):
            reason = text
            bidFarewell(text)
        case .link(.stream(.versions(let theirs))):
            reason = "\(StreamError.versions(theirs))"
            bidFarewell(reason)
            return .failed("refused the source: \(reason)")
        case .link(let error):
            reason = "\(error)"
            // The other direction may still work, and "nothing moved for 30 s" says more than a link that ends.
            bidFarewell(reason)
        case .peer(let text): reason = "the source gave up: \(text)"
        case .quit:
            reason = "the destination process was asked to quit"
            bidFarewell(reason)
            return .failed(reason)
        }
        return session.isGreeted ? .failed(reason) : .notAMigration(reason)
    }

    // MARK: The link

    private func nextFrame(within limit: Duration) throws(Failure) -> Frame {
        var frame: Frame?
        try waitForLink(within: limit) { () throws(TransportError) in
            frame = try link.takeFrame()
            return frame != nil
        }
        return frame!
    }

    /// Sleeps until `isDone` returns true. Ends early if the peer makes no progress for `limit`, or if this process is asked to quit.
    private func waitForLink(
        within limit: Duration? = nil,
        until isDone: () throws(TransportError) -> Bool
    ) throws(Failure) {
        let limit = limit ?? limits.stall
        var deadline = limits.clock() + limit
        var moved = link.bytesReceived + link.bytesSent
        while true {
            do throws(TransportError) {
                if try isDone() { return }
                // Wake up for the heartbeat even when all goes well.
                try link.wait(until: min(deadline, limits.clock() + limits.heartbeat / 2))
                try sayThatBytesCome()
            } catch {
                throw .link(error)
            }
            if doorbell.answer() { throw .quit }
            // A visitor that has not said hello gets this much time in all, however slowly it sends.
            if session.isGreeted, link.bytesReceived + link.bytesSent != moved {
                moved = link.bytesReceived + link.bytesSent
                deadline = limits.clock() + limit
            } else if limits.clock() >= deadline {
                throw .link(.stalled(seconds: Int(limit.inSeconds)))
            }
        }
    }

    /// Tells the source from time to time that its bytes still arrive. By itself, the source sees no further than the first kernel or
    /// tunnel on the way.
    private func sayThatBytesCome() throws(TransportError) {
        let now = limits.clock()
        guard session.isReceiving, link.bytesReceived != lastWord.bytes, lastWord.at.duration(to: now) >= limits.heartbeat, link.canSend
        else { return }
        lastWord = (link.bytesReceived, now)
        try link.send(.progress(round: appliedRound), from: nil)
    }

    private func send(_ frame: Frame) throws(Failure) {
        try waitForLink { link.canSend }
        lastWord = (link.bytesReceived, limits.clock())
        do throws(TransportError) { try link.send(frame, from: nil) } catch { throw .link(error) }
        try waitForLink { link.hasSentAll }
    }

    /// Sends the reason and waits until the peer has hung up. Closing with unread bytes would reset the link and lose the reason.
    private func bidFarewell(_ reason: String) {
        let deadline = limits.clock() + limits.farewell
        do throws(TransportError) {
            while !link.canSend, limits.clock() < deadline { try link.wait(until: deadline) }
            guard link.canSend else { return }
            try link.send(.abort(reason), from: nil)
            while !link.hasSentAll, limits.clock() < deadline { try link.wait(until: deadline) }
            link.discardIncoming(until: deadline)
        } catch {
            return
        }
    }

    // MARK: Effects

    private func perform(_ effect: DestinationSession.Effect) throws(Failure) -> Outcome? {
        switch effect {
        case .accept(let hello):
            do throws(GuestError) { guest = try makeGuest(hello.regions, hello.requirements) } catch { throw .ours("\(error)") }
            do throws(SystemError) { pages = try ReceivedPages(pageCount: hello.regions.pageCount) } catch { throw .ours("\(error)") }
            link.pageCount = hello.regions.pageCount
            try send(.hello(hello.answer))

        case .refuse(let reason):
            bidFarewell(reason)
            return .failed("refused the source: \(reason)")

        case .apply(let runs): try apply(runs)

        case .acknowledge(let round):
            appliedRound = round
            try send(.progress(round: round))

        case .compare(let digests):
            let memory = currentGuest.memory
            pages!.compare(digests) { memory.digest($0) }

        case .prepare(let sections, let verifies, let runs):
            let memory = currentGuest.memory
            if verifies { pages!.finishComparison { memory.isZero($0) } }
            if pages!.ready.differences == 0 {
                do throws(GuestError) { try currentGuest.loadDeviceState(sections) } catch {
                    throw .ours("the device state does not load: \(error)")
                }
            }
            runsAfterCommit = runs && startsGuest
            try send(.ready(pages!.ready))

        case .run:
            guard pages!.ready.differences == 0 else { throw .ours("commit came although the memory differs") }
            return startGuest()
        case .end(let reason): throw .peer(reason)
        }
        return nil
    }

    /// After commit the guest belongs to this process, whatever happens to the link.
    private func startGuest() -> Outcome {
        let start = limits.clock()
        if runsAfterCommit {
            do throws(GuestError) { try currentGuest.resume() } catch {
                bidFarewell("the guest could not be started: \(error)")
                return .committedButDead("\(error)")
            }
        }
        arrived(runsAfterCommit, start)
        // The frame tells the source. If the link is broken, the source cannot learn it, and reports that the outcome is unknown.
        try? send(.running)
        return .running(guestRuns: runsAfterCommit)
    }

    private var currentGuest: any Guest {
        guard let guest else { preconditionFailure("an effect on a guest before the hello was accepted") }
        return guest
    }

    /// Applies one runs frame in order. Its data follows the frame.
    private func apply(_ descriptors: [RunDescriptor]) throws(Failure) {
        let memory = currentGuest.memory
        var data: [PageRun] = []
        for descriptor in descriptors where descriptor.kind == .data && !memory.isPresent(descriptor.run) {
            throw .ours("the source sent \(descriptor.run), where the guest's memory is absent here")
        }
        do throws(SystemError) {
            for descriptor in descriptors {
                let run = descriptor.run
                switch descriptor.kind {
                case .data:
                    let isPopulated = pages!.noteData(run)
                    if !isPopulated { try hugePages.prepare(run, of: memory) }
                    data.append(run)
                case .zero:
                    let old = pages!.noteZero(run)
                    if old.isEmpty { continue }
                    if run.count >= Self.worthGivingBackPages {
                        // The guest may have given this memory back at the source, so it should not cost memory here either.
                        try memory.discard(run)
                        pages!.noteGone(run)
                    } else {
                        for run in old { memory.clear(run) }
                    }
                case .free:
                    for run in pages!.noteFree(run) { try memory.discard(run) }
                }
            }
        } catch {
            throw .ours("\(error)")
        }
        guard !data.isEmpty else { return }
        do throws(TransportError) { try link.receivePages(data, into: memory) } catch { throw .link(error) }
        try waitForLink { link.hasReceivedPages }
    }
}
