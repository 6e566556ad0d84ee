import AerostatControl
import AerostatGuestMemory
import AerostatMigration
import Synchronization

extension GuestProcess: CommandHandler {
    func handle(_ command: Command) async throws(QMPError) -> JSONValue {
        switch command {
        case .queryStatus: return state.withLock { $0.run }.json
        case .stop: try stop()
        case .resume(let force): try resume(force: force)
        case .migrate(let uri): try migrate(to: uri)
        case .cancelMigration: cancelMigration()
        case .setMigrationParameters(let changes):
            try state.withLock { (state) throws(QMPError) in state.parameters = try changes.applied(to: state.parameters) }
        case .queryMigrationParameters: return state.withLock { $0.parameters }.json
        case .queryMigration: return try report.json
        case .saveMemory(let address, let size, let path): try saveMemory(address: address, size: size, path: path)
        case .checkGuest: return try checkGuest().json
        case .powerDown: try pressPowerButton()
        case .quit: end(.asked(reason: "host-qmp-quit"))
        }
        return [:]
    }

    private func checkGuest() throws(QMPError) -> SelfCheck {
        let guest = try presentGuest()
        switch state.withLock({ $0.run }) {
        case .inMigrate: throw QMPError("the guest is still arriving")
        // The check would add its own time to the downtime.
        case .finishMigrate: throw QMPError("a migration is switching the guest over; check it when that is done")
        default: break
        }
        do throws(GuestError) { return try guest.checkItself() } catch { throw QMPError("\(error)") }
    }

    private func pressPowerButton() throws(QMPError) {
        guard let button = try presentGuest().powerButton else { throw QMPError("the model guest has no power button; quit ends it") }
        try state.withLock { (state) throws(QMPError) in
            // What is pressed after the guest's state was saved would be lost with this side's machine.
            guard state.run != .finishMigrate else {
                throw QMPError("a migration is switching the guest over; press it where the guest is then")
            }
            button.pressPowerButton()
            announce(.powerDown)
        }
    }
}
