import AerostatMigration
public import AerostatQMP
import Synchronization

extension MachineHost {
    /// The commands of every machine. Other capabilities add their own sets to these.
    public var commands: CommandSet {
        var set = CommandSet()
        set.answer(.queryStatus) { [self] in runState.json }
        set.perform(.stop) { [self] () throws(QMPError) in try obey(.stop) }
        set.perform(.resume) { [self] (arguments: ResumeArguments) throws(QMPError) in try resume(force: arguments.force) }
        set.perform(.migrate) { [self] (arguments: MigrateArguments) throws(QMPError) in try migrate(to: arguments.uri) }
        set.perform(.cancelMigration) { [self] () throws(QMPError) in try obey(.cancelMigration) }
        set.perform(.setMigrationParameters) { [self] (changes: MigrationParameterChanges) throws(QMPError) in
            try state.withLock { (state) throws(QMPError) in state.parameters = try changes.applied(to: state.parameters) }
        }
        set.answer(.queryMigrationParameters) { [self] in state.withLock { $0.parameters }.json }
        set.answer(.queryMigration) { [self] () throws(QMPError) in try report.json }
        set.perform(.saveMemory) { [self] (arguments: SaveMemoryArguments) throws(QMPError) in
            try saveMemory(address: UInt64(arguments.address), size: arguments.size.map(UInt64.init), path: arguments.path)
        }
        set.answer(.checkGuest) { [self] () throws(QMPError) in try checkGuest().json }
        set.perform(.powerDown) { [self] () throws(QMPError) in
            try state.withLock { (state) throws(QMPError) in
                try obey(.powerDown(hasButton: state.guest?.powerButton != nil), &state)
            }
        }
        set.perform(.quit) { [self] in end(.asked(reason: "host-qmp-quit")) }
        return set
    }

    private func resume(force: Bool) throws(QMPError) {
        try obey(.resume(force: force))
        // A person vouches that the guest is nowhere else.
        if force { markImage(left: false) }
    }

    /// The check takes long, but it runs without the host's lock.
    private func checkGuest() throws(QMPError) -> SelfCheck {
        let guest = try state.withLock { (state) throws(QMPError) in
            try obey(.check, &state)
            return state.guest!
        }
        do throws(GuestError) { return try guest.checkItself() } catch { throw QMPError("\(error)") }
    }
}
