import GuestMemory
import Host
import Migration

/// Performs a source session's effects. Lives on the migration's thread.
final class SourceDriver {
    let migration: SourceMigration
    let guest: any Guest
    let memory: GuestRAM
    let link: any Transport
    let ledger: PageLedger
    /// Filled by presence scans and harvests, emptied into the ledger.
    let scratch: DirtyBitmap
    /// Tells the ledger of memory that is given back, until the migration ends.
    private let discards: DiscardSubscription
    /// Scratch space for asking which pages exist; created when it is first needed.
    var existing: DirtyBitmap?
    /// While there is one, `scratch` holds the pages that existed when it was opened.
    var survey: FreePageSurvey?
    var session: SourceSession
    /// Frames that came from the destination and that nobody has asked for yet.
    var arrived: [Frame] = []
    /// When the bandwidth limit allows the next byte.
    var nextSend: MonotonicClock.Instant
    var traffic = Traffic()
    /// The link is broken, or nobody is at its other end: no farewell.
    private(set) var isLinkDead = false
    /// What hints had spared when the round began.
    var skippedAtRoundStart = 0
    /// Bytes that had left when the guest was paused.
    var bytesAtPause: Int?
    /// Happened while an effect had to be finished first.
    var pendingFailure: Interruption?
    /// The time, which the simulator makes up.
    let clock: @Sendable () -> MonotonicClock.Instant
    private let timeout: MonotonicClock.Instant?
    private var lastProgress: (bytes: Int, at: MonotonicClock.Instant)
    private(set) var effects: [SourceSession.Effect] = []

    /// The last round that the destination has applied whole.
    var acknowledgedRound = 0
    private let start: MonotonicClock.Instant
    private var rateWindow: (bytes: Int, at: MonotonicClock.Instant)

    /// Pages handed to the link, over the whole migration.
    struct Traffic {
        var normalPages = 0
        var zeroPages = 0
        /// Of these, the ones that had been free.
        var zeroedPages = 0
        var freePages = 0
    }

    /// Ends an effect before its time: the session decides what is done instead.
    struct Interruption: Error {
        let event: SourceSession.Event

        init(_ event: SourceSession.Event) { self.event = event }
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
        guest = migration.guest
        memory = guest.memory
        self.link = link
        do throws(SystemError) {
            ledger = try PageLedger(memory.regions)
            scratch = try DirtyBitmap(pageCount: memory.pageCount)
            discards = memory.subscribe(ledger)
        } catch {
            throw .system(operation: "prepare the migration", reason: "\(error)")
        }
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
            now: now
        )
        start = now
        rateWindow = (0, now)
        nextSend = now
        timeout = parameters.timeout.map { now + $0 }
        lastProgress = (0, now)
        let doorbell = migration.doorbell
        ledger.setWake { doorbell.ring() }
    }

    /// Runs the migration to its end.
    func run() -> SourceSession.Outcome {
        guest.hinting?.resetStatistics()
        let use = guest.memoryUse()
        effects = handle(.start(runs: migration.observer.isGuestRunning()))
        while true {
            precondition(!effects.isEmpty, "the session stands still")
            let effect = effects.removeFirst()
            if case .finish(let outcome) = effect {
                publish(use)
                return outcome
            }
            do throws(Interruption) {
                if let event = try perform(effect) { effects += handle(event) }
                if let failure = pendingFailure {
                    pendingFailure = nil
                    throw failure
                }
            } catch {
                let reason = explained(error)
                switch reason.event {
                case .failed(.link), .failed(.peer), .failed(.noSpace), .failed(.notCommitted): isLinkDead = true
                default: break
                }
                let next = handle(reason.event)
                // Backing out goes on to its end, whatever fails on the way.
                if !next.isEmpty { effects = next }
            }
            publish(use)
        }
    }

    private func handle(_ event: SourceSession.Event) -> [SourceSession.Effect] {
        let before = session.report.status
        let effects = session.handle(event, now: clock())
        let after = session.report.status
        // The end is announced when its effects are done.
        if before != after, !after.isOver {
            migration.publish { $0.status = after }
            migration.observer.statusChanged(after)
        }
        return effects
    }

    /// A link that breaks because the destination gave up: its reason may have come just before.
    private func explained(_ interruption: Interruption) -> Interruption {
        if case .failed(.noSpace(let path, let written)) = interruption.event {
            // What is pending may be in the file already, in an older state.
            let needed = min(written + ledger.pendingPages * GuestPage.size, Int(memory.regions.byteCount))
            return Interruption(.failed(.noSpace(path: path, needed: needed)))
        }
        guard case .failed(.link) = interruption.event else { return interruption }
        let deadline = clock() + .milliseconds(100)
        while clock() < deadline {
            do throws(TransportError) {
                if let frame = try link.takeFrame() { arrived.append(frame) }
                if case .abort(let reason)? = arrived.last { return Interruption(.failed(.peer(reason))) }
                migration.doorbell.answer()
                try link.wait(until: deadline)
            } catch {
                // Both directions may fail, each once; what had arrived before is still delivered.
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

    /// Sleeps until `condition` holds; cancellation, timeout, a broken or stuck link and the destination's abort end it early.
    /// - Parameter deadline: returns false then.
    @discardableResult
    func wait(until deadline: MonotonicClock.Instant? = nil, for condition: () throws(Interruption) -> Bool) throws(Interruption) -> Bool {
        while true {
            // Before the look at the condition: a ring that comes after it must still be there for the sleep.
            migration.doorbell.answer()
            try collectFrames()
            if try condition() { return true }
            try checkRequests()
            let now = clock()
            if let deadline, now >= deadline { return false }
            try checkProgress(now)
            let wakeTimes = [deadline, session.timeoutApplies ? timeout : nil, now + .milliseconds(100)]
            publishProgress()
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
                // The destination says hello, ready and running, each once.
                guard arrived.count < 3 else { throw Interruption(.failed(.link("the destination sent frames that have no place"))) }
                arrived.append(frame)
            }
        }
    }

    /// Obeys a person and the clock. Called wherever the driver waits, and between batches.
    func checkRequests() throws(Interruption) {
        if session.canCancel, let stop = migration.stop {
            switch stop {
            case .cancelled: throw Interruption(.cancelRequested)
            case .guestEnded(let reason): throw Interruption(.failed(.guest(reason)))
            }
        }
        if session.timeoutApplies, let timeout, clock() >= timeout { throw Interruption(.timeoutReached) }
    }

    private func checkProgress(_ now: MonotonicClock.Instant) throws(Interruption) {
        // A disk takes the time that it takes; a person may cancel.
        guard !link.isDisk else { return }
        let moved = link.bytesSent + link.bytesReceived
        if link.hasSentAll || moved != lastProgress.bytes { lastProgress = (moved, now) }
        if lastProgress.at.duration(to: now) > migration.limits.stall {
            throw Interruption(link: .stalled(seconds: Int(migration.limits.stall.inSeconds)))
        }
    }

    /// The destination's next word, which must be of one kind.
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

    // MARK: The report

    /// Live counters into the published report, on the way.
    func publishProgress() {
        let counts = ledger.counts
        let now = clock()
        let window = rateWindow.at.duration(to: now)
        let rate = window < .milliseconds(200) ? nil : Double(link.bytesSent - rateWindow.bytes) * 8 / window.inSeconds / 1e6
        if rate != nil { rateWindow = (link.bytesSent, now) }
        migration.publish { report in
            if !report.status.isOver {
                report.totalTime = Int(start.duration(to: now).inMilliseconds)
                if let rate { report.ram.mbps = rate }
            }
            report.ram.transferred = link.bytesSent
            report.ram.remaining = counts.pending * GuestPage.size
            report.ram.normal = traffic.normalPages
            report.ram.normalBytes = traffic.normalPages * GuestPage.size
            report.ram.duplicate = traffic.zeroPages
            report.freePageHints.reportedPages = counts.reported
            report.freePageHints.skippedPages = counts.skipped
            report.freePageHints.avoidedBytes = counts.skipped * GuestPage.size
        }
    }

    /// The whole report.
    private func publish(_ use: GuestMemoryUse?) {
        let counts = ledger.counts
        var report = session.report
        report.guest = use
        report.tracker = guest.tracker.name
        report.longestLockHoldMicroseconds = ledger.longestHold.elapsed.inSeconds * 1e6
        report.longestLockHoldProcessorMicroseconds = ledger.longestHold.processor.inSeconds * 1e6
        report.ram.precopyBytes = bytesAtPause ?? link.bytesSent
        report.ram.downtimeBytes = link.bytesSent - report.ram.precopyBytes
        let statistics = guest.hinting?.statistics ?? HintStatistics()
        report.freePageHints.commands = statistics.commands
        // The device counts what it turns away itself and what the ledger does.
        report.freePageHints.staleBlocks = statistics.staleBlocks
        report.freePageHints.invalidBlocks = statistics.invalidBlocks
        report.freePageHints.droppedBytes = counts.droppedBytes
        report.freePageHints.redirtiedPages = counts.redirtied
        report.freePageHints.zeroedPages = traffic.zeroedPages
        migration.publish { [report] published in
            // The rate shown on the way is of the last moments; the round's own follows at its end.
            let rate = report.status.isOver || published.ram.mbps == 0 ? report.ram.mbps : published.ram.mbps
            let destination = published.destination
            published = report
            published.ram.mbps = rate
            published.destination = destination
        }
        publishProgress()
    }
}
