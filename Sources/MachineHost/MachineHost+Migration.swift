import AerostatHost
public import AerostatMigration
import AerostatMigrationIO
import AerostatQMP
import Logging
import Synchronization

// Outgoing migrations.
extension MachineHost {
    /// Begins a migration, which continues in the background.
    func migrate(to text: String) throws(QMPError) {
        let uri: MigrationURI
        do throws(MigrationURI.ParseError) { uri = try MigrationURI(text).absolute } catch { throw QMPError("\(error)") }
        let migration = try state.withLock { (state) throws(QMPError) -> SourceMigration in
            try obey(.migrate(to: uri.place), &state) { (state) throws(QMPError) in try makeMigration(to: uri, &state) }
            logger.info("migrating to \(uri)")
            return state.migration!
        }
        do throws(SystemError) { try migration.start(to: uri) } catch {
            // The migration never began, so the next one may.
            state.withLock { state in
                state.migration = nil
                note(.migrationDidNotBegin, &state)
            }
            throw QMPError("\(error)")
        }
    }

    private func makeMigration(to uri: MigrationURI, _ state: inout State) throws(QMPError) {
        if case .descriptor(let number) = uri { try state.claimInherited(number) }
        do throws(SystemError) {
            state.migration = try SourceMigration(guest: state.guest!, parameters: state.parameters, owner: owner(uri))
        } catch {
            throw QMPError("\(error)")
        }
    }

    /// The report of the migration under way, or of the last one.
    public var report: MigrationReport {
        let (migration, lifecycle) = state.withLock { ($0.migration, $0.lifecycle) }
        var report = migration?.report ?? MigrationReport()
        // The engine knows the outcome before the guest is back in its place, the tracker is stopped and the log is written. Until all of
        // that is done the migration is not over, and no other may begin.
        if report.status.isOver, lifecycle.isMigrating {
            report.status = lifecycle.runState == .finishMigrate ? .device : .active
        }
        return report
    }

    private func owner(_ uri: MigrationURI) -> SourceMigration.Owner {
        SourceMigration.Owner(
            statusChanged: { [self] status in statusChanged(status, uri) },
            roundBegan: { [self] round in note(.roundBegan(round)) },
            isGuestRunning: { [self] in runState == .running },
            handOver: { [self] in
                state.withLock { state in
                    let wasRunning = state.lifecycle.runState == .running
                    note(.handedOver, &state)
                    return wasRunning
                }
            }
        )
    }

    /// Writes into the image that the guest was started from whether the guest is here or has left, so that nobody starts it a second time
    /// when this process and its lock are gone. Not called under the host's lock, because it writes to a disk.
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
        // Written before the first page leaves, so that the image is right whatever happens to this process after the commit.
        if status == .active { markImage(left: true) }
        guard status.isOver else { return note(.migrating(status)) }
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
        // Done under one lock: a client that hears the event then finds the state that it names, and no event of the next migration comes
        // before it.
        state.withLock { state in
            // Asked only if the engine had the guest. Otherwise a check of the guest may hold the machine's lock for long.
            let guestRuns = state.lifecycle.runState == .finishMigrate && state.guest!.isRunning
            note(.migrationEnded(status, guestRuns: guestRuns), &state)
        }
    }
}

extension MachineHost.State {
    /// A descriptor may be named once, and only if the process was started with it. All other descriptors belong to this process.
    fileprivate mutating func claimInherited(_ number: Int32) throws(QMPError) {
        guard inheritedSockets.remove(number) != nil else {
            throw QMPError("descriptor \(number) is no connected stream socket that this process was started with, or was used before")
        }
    }
}

extension MigrationURI {
    /// The URI with an absolute path of its image. People in other folders read messages about it.
    fileprivate var absolute: MigrationURI {
        guard case .file(let path) = self else { return self }
        return .file(path: absolutePath(path))
    }

    fileprivate var place: Lifecycle.Place {
        if case .file(let path) = self { .image(path: path) } else { .process }
    }
}
