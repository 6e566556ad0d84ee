import AerostatControl
import AerostatHost
public import AerostatMigration
import AerostatMigrationIO
import AerostatQMP
public import ArgumentParser
import CommandSupport

extension MigrationParameters.TimeoutAction: ExpressibleByArgument {}
extension ImageSync: ExpressibleByArgument {}

struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Moves the guest to another process, or into an image, while it runs.",
        discussion: """
            The destination waits with 'aerostat run --incoming URI'. URI is tcp:HOST:PORT, unix:PATH or fd:N; or file:PATH for a guest \
            image, which 'aerostat run --restore file:PATH' starts. The interrupt key, SIGTERM and SIGHUP cancel the migration, and the \
            guest stays where it is. A second signal ends this command, but not the migration.

            Exits with 0 if the guest runs at the destination or is in its image; 1 if the migration failed or was cancelled and the \
            guest is still here; 2 if verification found a difference; 3 if the link was lost between commit and running; 74 if the \
            guest has moved, but the result could not be written to standard output.

            Example:
              aerostat migrate --control /run/guest.sock tcp:192.0.2.7:4444 --verify
              aerostat migrate --control /run/guest.sock file:/srv/guest.image
            """
    )

    @OptionGroup var options: ControlOptions

    @Argument(help: "Where to: tcp:HOST:PORT, unix:PATH, fd:N or file:PATH.")
    var uri: String

    @Option(
        help: ArgumentHelp("How long the guest may be paused for the switch-over, at most 2000s (default: 300ms).", valueName: "time"),
        transform: { try Values.duration($0, maximum: MigrationParameters.maximumDowntimeLimit) }
    )
    var downtimeLimit: Duration = MigrationParameters().downtimeLimit

    @Option(
        help: ArgumentHelp("The most to send while the guest runs, in bit/s (8G, 500Mbit/s); 0 is no limit.", valueName: "rate"),
        transform: { try Values.rate($0, minimum: MigrationParameters.minimumBandwidthLimit) }
    )
    var bandwidthLimit: Int = 0

    @Option(
        help: ArgumentHelp("How long the migration may take to reach switch-over (default: no limit).", valueName: "time"),
        transform: { try Values.duration($0) }
    )
    var timeout: Duration?

    @Option(help: "After --timeout: cancel the migration (the default), or pause the guest so that the rest gets across.")
    var onTimeout: MigrationParameters.TimeoutAction?

    @Flag(help: "Do not ask the guest which memory is free.")
    var noHints = false

    @Option(
        help: ArgumentHelp(
            "How long to hold the first round back for hints, at most 60s (default: 1s, or half of a shorter --timeout).",
            valueName: "time"
        ),
        transform: { try Values.duration($0, maximum: MigrationParameters.maximumHintGrace) }
    )
    var hintGrace: Duration?

    @Flag(help: "Compare all memory of both sides during the pause, before the guest runs at the destination.")
    var verify = false

    @Option(help: "For an image: wait for the disk after each round (rounds, the default), at the end (end), or never (none).")
    var sync: ImageSync?

    @Option(
        help: ArgumentHelp("Write the report and its samples over time to a file.", valueName: "file"),
        completion: .file(),
        transform: Values.path
    )
    var record: String?

    func validate() throws {
        if let timeout, timeout <= .zero { throw ValidationError("--timeout must be more than 0 ms") }
        if timeout == nil, onTimeout != nil { throw ValidationError("--on-timeout needs --timeout") }
        let place: MigrationURI
        do throws(MigrationURI.ParseError) { place = try MigrationURI(uri) } catch { throw ValidationError("\(error)") }
        if case .socket(.unix(let path)) = place, absolutePath(path).utf8.count > SocketAddress.maximumPathBytes {
            throw ValidationError(
                "'\(uri)': its absolute path is longer than \(SocketAddress.maximumPathBytes) bytes: \(absolutePath(path))"
            )
        }
        if case .file = place { return }
        if sync != nil { throw ValidationError("--sync is only for file:PATH") }
    }

    func run() async throws {
        var recorder = try record.map(MigrationRecorder.init)
        let client = try await options.connect()
        // Installed before the migration begins. Otherwise an early interrupt would end this command and leave the migration running.
        let interruption = try Interruption {
            Task { _ = try? await client.execute(.cancelMigration) }
            writeToStandardError("\ncancelling; interrupt again to leave the migration to itself\n")
        }
        defer { interruption.end() }
        let start = WallClock.milliseconds()
        do {
            try await client.execute(.setMigrationParameters, parameters)
            try await client.execute(.migrate, MigrateArguments(uri: resolvedURI))
            // A cancel that arrived just before the migration began had no effect, so it is repeated.
            if interruption.isPending { try await client.execute(.cancelMigration) }
        } catch ControlError.refused(let command, let error) {
            let state = try await client.runState()
            var report = try await client.migrationReport()
            if report.status == .none { report.status = .failed }
            throw ControlError.refused(command: command, QMPError(error.class, "\(error)\n\(place(state, report))"))
        } catch ControlError.connectionLost {
            // The migration may have begun, and may even be over.
            if try reportLoss(MigrationReport(), since: start) { return }
            throw ExitCode.outcomeUnknown
        }

        var view = ProgressView(isShown: isWatched)
        let report: MigrationReport
        var last = MigrationReport()
        do {
            report = try await followMigration(on: client, at: pace) { report in
                view.show(report)
                recorder?.add(report)
                last = report
            }
        } catch ControlError.connectionLost {
            view.clear()
            if try reportLoss(last, since: start) { return }
            throw ExitCode.outcomeUnknown
        }
        view.clear()
        // The report is final. It does not matter if the source's process ends now.
        let isWritten = conclude(report, try? await client.runState())
        // The record comes last, and its failure changes nothing: the exit code says where the guest is.
        recorder?.write(report)
        if ExitCode(report) != .success { throw ExitCode(report) }
        if !isWritten { throw ExitCode.unwritten }
    }

    /// A script that wants JSON gets no progress display.
    private var isWatched: Bool { !options.json || Terminal.isStandardErrorTerminal }

    private var pace: FollowingPace { isWatched || record != nil ? .watched : .unwatched }

    /// - Parameter state: `nil` if the source's process has ended since.
    /// - Returns: whether the result could be written.
    private func conclude(_ report: MigrationReport, _ state: RunState?) -> Bool {
        let text = MigrationText(report)
        let lines = ["\(text.outcome); \(place(state, report))"] + text.table
        guard options.json, let document = try? report.json else { return writeResult(lines.joined(separator: "\n")) }
        defer { writeToStandardError(lines.joined(separator: "\n") + "\n") }
        return writeResult(document.text(.indented))
    }

    /// The source's process ended, or closed its control socket, during the migration. Nobody here knows where the guest is, unless it is
    /// in an image, which can be checked.
    /// - Returns: whether the guest is in its image.
    private func reportLoss(_ last: MigrationReport, since start: UInt64) throws -> Bool {
        var report = last
        report.destination = report.destination ?? uri
        let lost = "the connection to the source (\(options.control)) was lost: its process has ended or was killed"
        let isInImage: Bool
        if case .file(let path)? = try? MigrationURI(uri) {
            let image = try? GuestImage(opening: path)
            isInImage = image.map { $0.header.begun >= start } ?? false
            report.errorDescription =
                isInImage
                ? "\(lost), after it had finished the image; the guest is in it: 'aerostat run --restore \(uri)' starts it"
                : "\(lost), and the guest with it: the image was not finished"
                    + (image.map { "; \(path) is an older one, of \(WallClock.iso8601($0.header.finished) ?? "an unknown time")" } ?? "")
        } else {
            isInImage = false
            report.errorDescription =
                "\(lost). If it ended before the switch-over, the guest is gone with it; ask the destination whether the guest runs there "
                + "(aerostat status --control DESTINATION)"
        }
        report.status = isInImage ? .completed : .unknown
        let isWritten = options.json ? writeResult(try report.json.text(.indented)) : true
        writeToStandardError("\(isInImage ? "" : "Error: ")\(report.errorDescription ?? "")\n")
        if isInImage, !isWritten { throw ExitCode.unwritten }
        return isInImage
    }

    private func place(_ state: RunState?, _ report: MigrationReport) -> String {
        guard let state = state ?? (report.status == .completed ? .postMigrate : nil) else {
            return "the source's process has ended since, and its guest with it"
        }
        return MigrationText.whereabouts(state, after: report, control: options.control)
    }

    /// Sets every parameter, so that none remains from an earlier migration.
    private var parameters: MigrationParameterChanges {
        var changes = MigrationParameterChanges()
        // Rounded up, here and below: a short time must not become 0, which means none.
        changes.downtimeLimit = downtimeLimit.millisecondsRoundedUp
        changes.maxBandwidth = bandwidthLimit
        changes.timeout = timeout.map(\.millisecondsRoundedUp) ?? 0
        changes.onTimeout = onTimeout ?? .cancel
        changes.freePageHints = !noHints
        changes.hintGrace = (hintGrace ?? min(MigrationParameters().hintGrace, (timeout ?? .seconds(3600)) / 2)).millisecondsRoundedUp
        changes.verify = verify
        changes.imageSync = sync ?? .rounds
        return changes
    }

    /// The caller's paths may be relative, but the guest's process opens them.
    private var resolvedURI: String {
        for scheme in ["unix:", "file:"] where uri.hasPrefix(scheme) {
            return scheme + absolutePath(String(uri.dropFirst(scheme.count)))
        }
        return uri
    }
}
