import AerostatControl
import AerostatMigration
import AerostatQMP
import ArgumentParser
import CommandSupport

struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Cancels the guest's migration and waits for its end.",
        discussion: "Example:\n  aerostat cancel --control /run/guest.sock"
    )

    @OptionGroup var options: ControlOptions

    func run() async throws {
        let client = try await options.connect()
        let before = try await client.migrationReport()
        guard !before.status.isOver else {
            return try options.print(before.json, text: "nothing to cancel: \(MigrationText(before).outcome)")
        }
        try await client.execute(.cancelMigration)
        let report = try await followMigration(on: client, at: .unwatched) { _ in }
        let state = try await client.runState()
        let place = MigrationText.whereabouts(state, after: report, control: options.control)
        // The migration may have been past the point where it can be cancelled.
        let missed: ExitCode = ExitCode(report) == .success ? .failed : ExitCode(report)
        let code = report.status == .cancelled ? .success : missed
        try options.print(report.json, text: "\(MigrationText(report).outcome); \(place)", code: code)
    }
}

struct Quit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ends the process that runs the guest, and the guest with it.",
        discussion: "Example:\n  aerostat quit --control /run/guest.sock"
    )

    @OptionGroup var options: ControlOptions

    func run() async throws {
        let client = try await options.connect()
        try await client.execute(.quit)
        // The connection ends when the process ends.
        for await _ in client.events {}
        try options.print([:], text: "the guest's process has ended")
    }
}
