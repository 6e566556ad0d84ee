import Control
import GuestMemory
import Migration
import ModelGuest
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
        case .quit: end(.asked(reason: "host-qmp-quit"))
        }
        return [:]
    }

    private func checkGuest() throws(QMPError) -> GuestCheck {
        let guest = try presentGuest()
        switch state.withLock({ $0.run }) {
        case .inMigrate: throw QMPError("the guest is still arriving")
        // The check would add its own time to the downtime.
        case .finishMigrate: throw QMPError("a migration is switching the guest over; check it when that is done")
        default: break
        }
        let result: GuestCheckResult
        do throws(GuestError) { result = try guest.check() } catch { throw QMPError("\(error)") }
        return GuestCheck(
            pagesChecked: result.pagesChecked,
            pagesWrong: result.pagesWrong,
            firstWrong: result.firstWrongPage.map { .init(page: $0.page, expected: $0.expected, found: $0.found) },
            pagesUsed: result.pagesUsed,
            pagesFree: result.pagesFree,
            pagesFreeTopOrder: result.pagesFreeTopOrder,
            pagesHeld: result.pagesHeld,
            brokenInvariants: result.invariants.list
        )
    }
}

extension GuestCheckResult.Invariants {
    /// What is violated, in words.
    fileprivate var list: [String] {
        switch self {
        case .ok: []
        case .violated(let list): list
        }
    }
}
