import AerostatControl
import AerostatHost
import AerostatMigration
import AerostatQMP
import Synchronization

/// A machine without a guest. It keeps the state that commands change, and sends events like a real one.
final class FakeMachine: Sendable {
    private struct State {
        var run = RunState.running
        var parameters = MigrationParameters()
        var report = MigrationReport()
        var server: ControlServer?
        var isQuit = false
        var checksBegun = 0
        var migrationQueries = 0
        var isDamaged = false
    }

    private let state = Monitor(State())
    /// While this is closed, `check-guest` blocks, like the check of a large guest.
    private let gate = Monitor(true)

    func attach(_ server: ControlServer?) { state.withLock { $0.server = server } }
    func closeGate() { gate.update { $0 = false } }
    func openGate() { gate.update { $0 = true } }

    var parameters: MigrationParameters { state.withLock { $0.parameters } }
    var isQuit: Bool { state.withLock { $0.isQuit } }

    /// From now on a check finds a wrong page.
    func damage() { state.withLock { $0.isDamaged = true } }

    /// Waits until the migration's report was requested this many times.
    func waitForMigrationQueries(_ count: Int) { _ = state.wait { $0.migrationQueries >= count ? true : nil } }

    /// Waits until this many checks have begun.
    func waitForChecks(_ count: Int) { _ = state.wait { $0.checksBegun >= count ? true : nil } }

    var commands: CommandSet {
        var set = CommandSet()
        set.answer(.queryStatus) { [self] in state.withLock { $0.run.json } }
        set.perform(.stop) { [self] in change(to: .paused, telling: .stop) }
        set.perform(.resume) { [self] (arguments: ResumeArguments) throws(QMPError) in
            if state.withLock({ $0.run == .postMigrate }), !arguments.force { throw QMPError("the guest runs at the destination") }
            change(to: .running, telling: .resume)
        }
        set.perform(.migrate) { [self] (arguments: MigrateArguments) throws(QMPError) in try migrate(arguments.uri) }
        set.perform(.cancelMigration) { [self] in end(.cancelled, guest: .running) }
        set.perform(.setMigrationParameters) { [self] (changes: MigrationParameterChanges) throws(QMPError) in
            try state.withLock { (state) throws(QMPError) in state.parameters = try changes.applied(to: state.parameters) }
        }
        set.answer(.queryMigrationParameters) { [self] in state.withLock { $0.parameters.json } }
        set.answer(.queryMigration) { [self] () throws(QMPError) in
            try state.update { state in
                state.migrationQueries += 1
                return state.report
            }.json
        }
        set.perform(.saveMemory) { (arguments: SaveMemoryArguments) throws(QMPError) in
            throw QMPError("cannot save \(arguments.size.map { "\($0)" } ?? "all") at \(arguments.address) to \(arguments.path)")
        }
        set.perform(.powerDown) { () throws(QMPError) in throw QMPError("it has no power button") }
        set.answer(.checkGuest) { [self] () throws(QMPError) in try check().json }
        set.perform(.quit) { [self] in state.withLock { $0.isQuit = true } }
        return set
    }

    private func check() -> SelfCheck {
        state.update { $0.checksBegun += 1 }
        // Blocks its thread, as real checks do.
        _ = gate.wait { $0 ? true : nil }
        let isDamaged = state.withLock { $0.isDamaged }
        return SelfCheck(
            pagesChecked: 7,
            pagesWrong: isDamaged ? 1 : 0,
            firstWrong: isDamaged ? .init(page: 6, expected: "1", found: "0") : nil,
            pagesUsed: 3,
            pagesFree: 4,
            pagesFreeTopOrder: 0,
            pagesHeld: 0,
            pagesBallooned: 5,
            brokenInvariants: []
        )
    }

    private func change(to new: RunState, telling event: Event) {
        let server = state.withLock { state in
            defer { state.run = new }
            return state.run == new ? nil : state.server
        }
        server?.broadcast(event)
    }

    /// Starts a migration. The URI's last part says how it ends, at once; `slow` continues until it is cancelled.
    private func migrate(_ uri: String) throws(QMPError) {
        guard uri.hasPrefix("unix:") || uri.hasPrefix("tcp:") else { throw QMPError("the URI '\(uri)' is not understood") }
        let server = state.withLock { state in
            state.report = MigrationReport()
            state.report.status = .active
            state.report.destination = uri
            state.report.totalTime = 12
            state.report.ram.mbps = 1234.5
            return state.server
        }
        for event: Event in [.migration(.setup), .migration(.active), .migrationPass(1)] { server?.broadcast(event) }
        switch uri.split(separator: "/").last {
        case "slow": break
        case "failing": end(.failed, guest: .running) { $0.errorDescription = "the link was cut in round 1" }
        case "differing":
            end(.failed, guest: .running) {
                $0.verify = .init(status: .failed, pagesCompared: 9, pagesFree: 1, differences: 2, firstDifference: 5)
            }
        case "unknown": end(.unknown, guest: .postMigrate)
        default: end(.completed, guest: .postMigrate) { $0.downtime = 1 }
        }
    }

    private func end(_ status: MigrationReport.Status, guest run: RunState, _ change: (inout MigrationReport) -> Void = { _ in }) {
        let server = state.withLock { state in
            state.report.status = status
            state.run = run
            change(&state.report)
            return state.server
        }
        if run == .postMigrate { server?.broadcast(.stop) }
        server?.broadcast(.migration(status))
    }
}
