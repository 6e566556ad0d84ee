import AerostatControl
import AerostatMigration
import AerostatQMP
import ArgumentParser

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says whether the guest runs, and how its migration goes.",
        discussion: "Example:\n  aerostat status --control /run/guest.sock"
    )

    @OptionGroup var options: ControlOptions

    func run() async throws {
        let client = try await options.connect()
        let state = try await client.runState()
        let report = try await client.migrationReport()
        let migration = MigrationText(report)
        var lines = ["\(state.rawValue): \(MigrationText.standing(state, after: report, control: options.control))"]
        if report.status != .none {
            lines += report.status.isOver ? [migration.outcome] + migration.table : migration.progress
        }
        guard case .object(var document) = state.json else { preconditionFailure("a state is an object") }
        document["migration"] = report.status == .none ? nil : try report.json
        try options.print(.object(document), text: lines.joined(separator: "\n"))
    }
}
