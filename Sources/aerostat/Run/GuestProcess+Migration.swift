import AerostatControl
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Logging
import Synchronization

// Outgoing migrations.
extension GuestProcess {
    /// Begins a migration; it goes on by itself.
    func migrate(to text: String) throws(QMPError) {
        let uri: MigrationURI
        do throws(MigrationURI.ParseError) { uri = try MigrationURI(text).absolute } catch { throw QMPError("\(error)") }
        let migration = try state.withLock { (state) throws(QMPError) -> SourceMigration in
            guard let guest = state.guest else {
                let waits = state.run == .restoreVM ? "its image is being read" : "an incoming migration is awaited"
                throw QMPError("there is no guest here yet: \(waits)")
            }
            guard !state.isMigrating else { throw QMPError("There's a migration process in progress") }
            switch state.run {
            case .running, .paused, .preLaunch: break
            case .postMigrate: throw QMPError("the guest has gone to \(state.image.map { "its image \($0)" } ?? "another process") already")
            case .shutdown, .guestPanicked: throw QMPError("the guest has ended: there is nothing to migrate")
            case .finishMigrate, .inMigrate, .restoreVM: throw QMPError("the guest is \(state.run.rawValue)")
            }
            guard !state.isOwnershipUnknown else {
                throw QMPError("the destination of the last migration may be running this guest; resume it with force first")
            }
            if case .descriptor(let number) = uri { try state.claimInherited(number) }
            announceArrival(&state)
            do throws(SystemError) {
                let migration = try SourceMigration(guest: guest, parameters: state.parameters, owner: owner(uri))
                (state.migration, state.isMigrating) = (migration, true)
                return migration
            } catch {
                throw QMPError("\(error)")
            }
        }
        logger.info("migrating to \(uri)")
        announce(.migration(.setup))
        do throws(SystemError) { try migration.start(to: uri) } catch {
            // It never began: the next one may.
            state.withLock { ($0.migration, $0.isMigrating) = (nil, false) }
            announce(.migration(.failed))
            throw QMPError("\(error)")
        }
    }

    func cancelMigration() { state.withLock { $0.migration }?.cancel() }

    var report: MigrationReport {
        let (migration, isMigrating, run) = state.withLock { ($0.migration, $0.isMigrating, $0.run) }
        var report = migration?.report ?? MigrationReport()
        // The engine knows how it ends before the guest is back in its place, the tracker is at rest and the log says so: until then
        // the migration is not over, and no other may begin.
        if report.status.isOver, isMigrating { report.status = run == .finishMigrate ? .device : .active }
        return report
    }

    private func owner(_ uri: MigrationURI) -> SourceMigration.Owner {
        SourceMigration.Owner(
            statusChanged: { [self] status in statusChanged(status, uri) },
            roundBegan: { [self] round in announce(.migrationPass(round)) },
            isGuestRunning: { [self] in state.withLock { $0.run == .running } },
            handOver: { [self] in
                state.withLock { state in
                    let wasRunning = state.run == .running
                    announceArrival(&state)
                    state.run = .finishMigrate
                    if wasRunning { announce(.stop) }
                    return wasRunning
                }
            }
        )
    }

    /// Says in the image that the guest was started from whether it is here or has left, so that nobody starts it a second time when this
    /// process, and its lock, are gone.
    func markImage(left: Bool) {
        guard let claim = state.withLock({ $0.claim }), claim.isExclusive else { return }
        do throws(SystemError) { try claim.setLeft(left) } catch {
            logger.warning(
                left
                    ? "the image \(claim.path) cannot be marked: do not start it again where its guest has moved on: \(error)"
                    : "the image \(claim.path) still says that its guest has moved on: \(error)"
            )
        }
    }

    private func statusChanged(_ status: MigrationReport.Status, _ uri: MigrationURI) {
        // Before the first page leaves: whatever happens to this process from the commit on, the image says it.
        if status == .active { markImage(left: true) }
        guard status.isOver else { return announce(.migration(status)) }
        if status == .failed || status == .cancelled { markImage(left: false) }
        let reason = report.errorDescription ?? ""
        switch status {
        case .completed:
            logger.info("the guest has gone to \(uri); it does not run here any more")
            if let claim = state.withLock({ $0.claim }), claim.isExclusive {
                logger.info("the image \(claim.path) that it was started from must not be started again, but as a copy (--clone)")
            }
        case .unknown: logger.error("the guest is paused here and may run at \(uri): \(reason)")
        default: logger.warning("the migration to \(uri) ended as \(status.rawValue): \(reason); the guest is still here")
        }
        // Under the lock, so that whoever hears the event finds what it says, and no event of the next migration comes before it.
        state.withLock { state in
            switch status {
            case .completed: state.run = .postMigrate
            case .unknown: (state.run, state.isOwnershipUnknown) = (.paused, true)
            default:
                // Before the engine took over nothing changed; afterwards it has put the guest back as it was.
                guard state.run == .finishMigrate else { break }
                let isRunning = state.guest?.isRunning ?? false
                state.run = isRunning ? .running : .paused
                if isRunning { announce(.resume) }
            }
            state.isMigrating = false
            announce(.migration(status))
        }
    }
}

// An incoming migration.
extension GuestProcess {
    /// Receives one guest, on the calling thread, and starts it.
    /// - Parameters:
    ///   - shape: the memory that it must have; `nil` takes what comes.
    ///   - shells: makes the empty machine for it.
    ///   - paused: keep it paused, whatever it did at the source.
    func receive(_ listener: borrowing IncomingListener, shape: RegionTable?, shells: MachineShells, paused: Bool) {
        // Where no kind of guest was named, it may be one that needs none of it.
        if shells.takeMachines {
            Rehearsal.begin(tracker: shells.tracker, logger: logger, failure: shells.engine == nil ? .debug : .warning)
        }
        let outcome: DestinationMigration.Outcome?
        do throws(SocketError) {
            outcome = try listener.receive(
                shape: shape,
                doorbell: incomingDoorbell,
                logger: logger,
                startsGuest: !paused,
                arrived: { [self] runs, since in takeArrived(runs: runs, since: since) }
            ) { [self] (regions, requirements) throws(GuestError) in
                let shell = try shells.shell(for: requirements)
                let memory: GuestRAM
                do throws(SystemError) { memory = try GuestRAM(regions) } catch { throw GuestError("\(error)") }
                let guest = try shell.make(in: memory)
                state.withLock { $0.guest = guest }
                return guest
            }
        } catch {
            logger.error("no migration can be received: \(error)")
            return end(.failed)
        }
        switch outcome {
        case nil: return
        case .running(let runs):
            // The source has been told already: nobody's downtime waits for clients and logs.
            state.withLock { announceArrival(&$0) }
            logger.info(runs ? "the guest has arrived and runs" : "the guest has arrived; it is paused")
        case .failed(let reason), .notAMigration(let reason):
            logger.error("the incoming migration failed: \(reason); the guest is not here")
            end(.failed)
        case .committedButDead(let reason):
            logger.critical("the guest arrived and could not be started: \(reason); it runs nowhere, its source still holds its memory")
            end(.failed)
        }
    }

    private func takeArrived(runs: Bool, since: MonotonicClock.Instant) {
        state.withLock { state in
            // A guest may have ended as soon as it ran.
            guard state.run == .inMigrate else { return }
            state.run = runs ? .running : .paused
            state.arrivedAt = runs ? since : nil
        }
    }

    /// Says once that the guest came and ran, before anything is said of what became of it: who heard of it at the source may already be
    /// about to pause it, or move it on, and it may end at once.
    func announceArrival(_ state: inout State) {
        guard let since = state.arrivedAt else { return }
        state.arrivedAt = nil
        announce(.resume, ago: since.duration(to: MonotonicClock.now()))
    }
}

extension GuestProcess.State {
    /// A descriptor may be named once, and only where this process was started with it: all others belong to somebody in this process.
    fileprivate mutating func claimInherited(_ number: Int32) throws(QMPError) {
        guard inheritedSockets.remove(number) != nil else {
            throw QMPError("descriptor \(number) is no connected stream socket that this process was started with, or was used before")
        }
    }
}

extension MigrationURI {
    /// With an image's path from the root on: what is said of it later is read by people in other folders.
    fileprivate var absolute: MigrationURI {
        guard case .file(let path) = self else { return self }
        return .file(path: absolutePath(path))
    }
}
