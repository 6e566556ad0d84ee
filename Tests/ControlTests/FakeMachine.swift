import Control
import Host
import Migration
import Synchronization

/// A machine without a guest, which keeps the state that the commands are about and tells its changes, as a real one does.
final class FakeMachine: CommandHandler {
    private struct State {
        var run = RunState.running
        var parameters = MigrationParameters()
        var report = MigrationReport()
        var server: ControlServer?
        var isQuit = false
        var checksBegun = 0
    }

    private let state = Monitor(State())
    /// While closed, `check-guest` stands still, as a check of a large guest does.
    private let gate = Monitor(true)

    func attach(_ server: ControlServer) { state.withLock { $0.server = server } }
    func closeGate() { gate.update { $0 = false } }
    func openGate() { gate.update { $0 = true } }

    var parameters: MigrationParameters { state.withLock { $0.parameters } }
    var isQuit: Bool { state.withLock { $0.isQuit } }

    /// Waits until that many checks have begun.
    func waitForChecks(_ count: Int) { _ = state.wait { $0.checksBegun >= count ? true : nil } }

    func handle(_ command: Command) async throws(QMPError) -> JSONValue {
        switch command {
        case .queryStatus: return state.withLock { $0.run.json }
        case .stop: return change(to: .paused, telling: .stop)
        case .resume(let force):
            if state.withLock({ $0.run == .postMigrate }), !force { throw QMPError("the guest runs at the destination") }
            return change(to: .running, telling: .resume)
        case .migrate(let uri): return try migrate(uri)
        case .cancelMigration: return [:]
        case .setMigrationParameters(let changes):
            try state.withLock { (state) throws(QMPError) in state.parameters = try changes.applied(to: state.parameters) }
            return [:]
        case .queryMigrationParameters: return state.withLock { $0.parameters.json }
        case .queryMigration: return try state.withLock { $0.report }.json
        case .saveMemory(let address, let size, let path):
            throw QMPError("cannot save \(size.map { "\($0)" } ?? "all") at \(address) to \(path)")
        case .checkGuest:
            state.update { $0.checksBegun += 1 }
            // Blocks its thread, as real checks do.
            _ = gate.wait { $0 ? true : nil }
            return try GuestCheck(
                pagesChecked: 7,
                pagesWrong: 0,
                firstWrong: nil,
                pagesUsed: 3,
                pagesFree: 4,
                pagesFreeTopOrder: 0,
                brokenInvariants: []
            ).json
        case .quit:
            state.withLock { $0.isQuit = true }
            return [:]
        }
    }

    private func change(to new: RunState, telling event: Event) -> JSONValue {
        let server = state.withLock { state in
            defer { state.run = new }
            return state.run == new ? nil : state.server
        }
        server?.broadcast(event)
        return [:]
    }

    /// A migration that is over at once.
    private func migrate(_ uri: String) throws(QMPError) -> JSONValue {
        guard uri.hasPrefix("unix:") || uri.hasPrefix("tcp:") else { throw QMPError("the URI '\(uri)' is not understood") }
        let server = state.withLock { state in
            state.report = MigrationReport()
            state.report.status = .completed
            state.report.totalTime = 12
            state.report.downtime = 1
            state.report.ram.mbps = 1234.5
            state.run = .postMigrate
            return state.server
        }
        for event: Event in [.migration(.setup), .migration(.active), .migrationPass(1), .stop, .migration(.completed)] {
            server?.broadcast(event)
        }
        return [:]
    }
}
