import AerostatGuestMemory
import AerostatHost
import AerostatMigration

/// Performs a source session's effects, on the migration's thread.
final class SourceDriver {
    let migration: SourceMigration
    let guest: any Guest
    let memory: GuestRAM
    let link: any Transport
    let ledger: PageLedger
    /// Filled by presence scans and harvests, emptied into the ledger.
    let scratch: PageSet
    /// Tells the ledger about discarded memory until the migration ends.
    private let discards: DiscardSubscription
    /// Scratch space for asking which pages exist; created when first needed.
    var existing: PageSet?
    /// While this is set, `scratch` holds the pages that existed when the survey was opened.
    var survey: FreePageSurvey?
    var session: SourceSession
    /// Frames from the destination that nobody has asked for yet.
    var arrived: [Frame] = []
    /// When the bandwidth limit allows the next byte.
    var nextSend: MonotonicClock.Instant
    var traffic = MigrationProgress.Traffic()
    /// The link is broken, or nobody is at its other end, so no farewell is sent.
    private(set) var isLinkDead = false
    /// The number of pages that hints had spared when the round began.
    var skippedAtRoundStart = 0
    /// Bytes that had been sent when the guest was paused.
    var bytesAtPause: Int?
    /// A failure that occurred while an effect had to be finished first.
    var pendingFailure: Interruption?
    /// The clock. The simulator provides a simulated one.
    let clock: @Sendable () -> MonotonicClock.Instant
    private let timeout: MonotonicClock.Instant?
    /// The value of `bytesMoved` at its last change.
    private var lastMovement: (bytes: Int, at: MonotonicClock.Instant)
    private(set) var effects: [SourceSession.Effect] = []

    /// The last round that the destination has applied completely.
    var acknowledgedRound = 0
    private let start: MonotonicClock.Instant
    private var rateWindow: (bytes: Int, at: MonotonicClock.Instant)
    /// The link's rate in the last window, in bytes a second.
    private var recentRate: Double = 0
    private var hintStatistics = HintStatistics()
    private var balloonFigures = BalloonFigures()
    /// When the migration began.
    private var firstBalloonFigures = BalloonFigures()
    /// The guest's memory use when the migration began.
    private var use: MemoryUse?

    /// Ends an effect early. The session decides what is done instead.
    struct Interruption: Error {
        let event: SourceSession.Event
        /// What had been sent of the round, if one was in progress.
        var traffic: SourceSession.RoundTraffic?

        init(_ event: SourceSession.Event) { self.event = event }

        /// The same interruption, in the middle of a round.
        func interrupting(_ traffic: SourceSession.RoundTraffic) -> Interruption {
            var interruption = self
            interruption.traffic = traffic
            return interruption
        }

        init(link error: TransportError) {
            event =
                switch error {
                case .notCommitted(let reason): .failed(.notCommitted(reason))
                case .noSpace(let path, let written): .failed(.noSpace(path: path, needed: written))
                default: .failed(.link("\(error)"))
                }
        }
        init(guest error: some Error) { event = .failed(.guest("\(error)")) }
    }

    init(_ migration: SourceMigration, link: any Transport) throws(TransportError) {
        self.migration = migration
        memory = migration.guest.memory
        do throws(SystemError) {
            ledger = try PageLedger(memory.regions)
            scratch = try PageSet(pageCount: memory.pageCount)
        } catch {
            throw .system(operation: "prepare the migration", reason: "\(error)")
        }
        #if BrokenEngines
            let whole = SourceParts(guest: migration.guest, link: link, discards: ledger)
            let parts = EngineHooks.decorators?.source(whole, ledger) ?? whole
            (guest, self.link, discards) = (parts.guest, parts.link, memory.subscribe(parts.discards))
        #else
            (guest, self.link, discards) = (migration.guest, link, memory.subscribe(ledger))
        #endif
        link.pageCount = memory.pageCount
        clock = migration.limits.clock
        let now = clock()
        let parameters = migration.parameters
        let hello = Hello(
            session: .random(),
            regions: memory.regions,
            capabilities: parameters.verifies ? .verify : [],
            requirements: guest.requirements
        )
        session = SourceSession(
            parameters,
            hello: hello,
            hintsAvailable: guest.hinting?.isAvailable ?? false,
            mayClear: guest.hinting?.fillsFreedPages == false,
            isDisk: link.isDisk,
            now: now
        )
        start = now
        rateWindow = (0, now)
        nextSend = now
        timeout = parameters.timeout.map { now + $0 }
        lastMovement = (0, now)
        let doorbell = migration.doorbell
        ledger.setWake { doorbell.ring() }
    }

    /// Runs the migration to its end.
    func run() -> SourceSession.Outcome {
        guest.hinting?.resetStatistics()
        firstBalloonFigures = guest.hinting?.balloonFigures ?? BalloonFigures()
        use = guest.memoryUse()
        effects = handle(.start(guestRuns: migration.owner.isGuestRunning()))
        while true {
            precondition(!effects.isEmpty, "the session stands still")
            let effect = effects.removeFirst()
            if case .finish(let outcome) = effect {
                publish(asksDevice: true)
                return outcome
            }
            do throws(Interruption) {
                if let event = try perform(effect) { effects += handle(event) }
                if let failure = pendingFailure {
                    pendingFailure = nil
                    throw failure
                }
            } catch {
                if let traffic = error.traffic { _ = handle(.roundInterrupted(traffic)) }
                let reason = explained(error)
                switch reason.event {
                case .failed(.link), .failed(.peer), .failed(.noSpace), .failed(.notCommitted): isLinkDead = true
                default: break
                }
                let next = handle(reason.event)
                // Backing out continues to its end, whatever fails on the way.
                if !next.isEmpty { effects = next }
            }
            publish(asksDevice: true)
        }
    }

    private func handle(_ event: SourceSession.Event) -> [SourceSession.Effect] {
        let before = session.report.status
        let effects = session.handle(event, now: clock())
        let after = session.report.status
        // The end is announced when its effects are done.
        if before != after, !after.isOver {
            publish()
            migration.owner.statusChanged(after)
        }
        return effects
    }

    /// If the link broke because the destination gave up, its reason may have arrived just before. This looks for it.
    private func explained(_ interruption: Interruption) -> Interruption {
        if case .failed(.noSpace(let path, let written)) = interruption.event {
            // Pending pages may already be in the file, in an older state.
            let needed = min(written + ledger.pendingPages * GuestPage.size, Int(memory.regions.byteCount))
            return Interruption(.failed(.noSpace(path: path, needed: needed)))
        }
        guard case .failed(.link) = interruption.event, !link.isDisk else { return interruption }
        let deadline = clock() + .milliseconds(100)
        while clock() < deadline {
            do throws(TransportError) {
                if case .abort(let reason)? = try link.takeFrame() { return Interruption(.failed(.peer(reason))) }
                migration.doorbell.answer()
                try link.wait(until: deadline)
            } catch {
                // Both directions may fail, each once. What had arrived before is still delivered.
                if let frame = try? link.takeFrame(), case .abort(let reason) = frame {
                    return Interruption(.failed(.peer(reason)))
                }
                if case .closed = error { break }
                if case .cut = error { break }
            }
        }
        return interruption
    }

    // MARK: Waiting

    /// Sleeps until `condition` holds. Cancellation, timeout, a broken or stuck link and the destination's abort end it early.
    /// - Parameters:
    ///   - deadline: the call returns false then.
    ///   - silence: the call returns false when nothing has moved for this long, not even in the kernel's buffers.
    @discardableResult
    func wait(
        until deadline: MonotonicClock.Instant? = nil,
        silence: Duration? = nil,
        for condition: () throws(Interruption) -> Bool
    ) throws(Interruption) -> Bool {
        let begin = clock()
        while true {
            // Answer before checking the condition: a ring after the check must still wake the sleep.
            migration.doorbell.answer()
            try collectFrames()
            if try condition() { return true }
            try checkRequests()
            let now = clock()
            if let deadline, now >= deadline { return false }
            let silent = silentTime(since: begin, now)
            if let silence, silent >= silence { return false }
            // If nothing is in progress, nothing is stuck. A disk may take as long as it needs; a person may cancel.
            if !link.hasSentAll, !link.isDisk, silent > migration.limits.stall {
                throw Interruption(link: .stalled(seconds: Int(migration.limits.stall.inSeconds)))
            }
            let wakeTimes = [deadline, session.timeoutApplies ? timeout : nil, session.pauseDeadline, now + .milliseconds(100)]
            publish()
            do throws(TransportError) { try link.wait(until: wakeTimes.compactMap(\.self).min()) } catch {
                throw Interruption(link: error)
            }
        }
    }

    private func collectFrames() throws(Interruption) {
        while true {
            let frame: Frame?
            do throws(TransportError) { frame = try link.takeFrame() } catch { throw Interruption(link: error) }
            switch frame {
            case nil: return
            case .abort(let reason): throw Interruption(.failed(.peer(reason)))
            case .progress(let round): acknowledgedRound = max(acknowledgedRound, Int(round))
            case let frame?:
                // A frame that is not taken would stop the link from receiving anything after it.
                guard frame.kind.isForDestinationToSay else {
                    throw Interruption(.failed(.link("the destination sent a \(frame.kind) frame, which only a source sends")))
                }
                // The destination says hello, ready and running, each once.
                guard arrived.count < 3 else { throw Interruption(.failed(.link("the destination sent unexpected frames"))) }
                arrived.append(frame)
            }
        }
    }

    /// Checks for requests by a person, and for deadlines. Called wherever the driver waits, and between batches.
    func checkRequests() throws(Interruption) {
        if session.canCancel, let stop = migration.stop {
            switch stop {
            case .cancelled: throw Interruption(.cancelRequested)
            case .guestEnded(let reason): throw Interruption(.failed(.guest(reason)))
            }
        }
        if session.timeoutApplies, let timeout, clock() >= timeout { throw Interruption(.timeoutReached) }
        if let deadline = session.pauseDeadline, clock() >= deadline { throw Interruption(.pauseBudgetSpent) }
    }

    /// For how long nothing has moved in either direction.
    private func silentTime(since begin: MonotonicClock.Instant, _ now: MonotonicClock.Instant) -> Duration {
        let moved = link.bytesMoved
        if moved != lastMovement.bytes { lastMovement = (moved, now) }
        return max(begin, lastMovement.at).duration(to: now)
    }

    /// The destination's next frame, which must be of one kind.
    func receive<Content>(
        _ what: String,
        within limit: Duration,
        _ match: (Frame) -> Content?
    ) throws(Interruption) -> Content {
        let came = try wait(until: link.isDisk ? nil : clock() + limit) { () throws(Interruption) in !arrived.isEmpty }
        guard came else { throw Interruption(.failed(.link("the destination did not say \(what) within \(Int(limit.inSeconds)) s"))) }
        let frame = arrived.removeFirst()
        guard let content = match(frame) else {
            throw Interruption(.failed(.link("the destination sent a \(frame.kind) frame where \(what) was due")))
        }
        return content
    }

    // MARK: Progress

    /// Publishes the migration's progress for everybody who reads it.
    /// - Parameter asksDevice: also reads the device's counters, under the device's lock. If false, the last values are kept.
    func publish(asksDevice: Bool = false) {
        let now = clock()
        if asksDevice {
            hintStatistics = guest.hinting?.statistics ?? HintStatistics()
            balloonFigures = (guest.hinting?.balloonFigures ?? BalloonFigures()).since(firstBalloonFigures)
        }
        let window = rateWindow.at.duration(to: now)
        if window >= .milliseconds(200) {
            recentRate = Double(link.bytesSent - rateWindow.bytes) / window.inSeconds
            rateWindow = (link.bytesSent, now)
        }
        migration.publish { progress in
            progress.session = session.report
            progress.pages = ledger.counts
            progress.traffic = traffic
            progress.hints = hintStatistics
            progress.balloon = balloonFigures
            progress.waitingFor = link.waitingFor
            progress.bytesSent = link.bytesSent
            progress.bytesAtPause = bytesAtPause
            progress.bytesPerSecond = recentRate
            progress.elapsed = start.duration(to: now)
            progress.tracker = guest.tracker.name
            progress.guest = use
            #if Instruments
                progress.longestHold = ledger.longestHold
            #endif
        }
    }
}
