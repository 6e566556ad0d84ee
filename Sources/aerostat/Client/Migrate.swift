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
            guest \
            stays where it is; a second one ends this command and leaves the migration to itself.

            Exits with 0 when the guest runs at the destination, or is in its image; 1 when it failed or was cancelled, and the guest is \
            still here; 2 when \
            verification found a difference; 3 when the link was lost between commit and running; 74 when the guest has gone, and this \
            could not be written to standard output.

            Example:
              aerostat migrate --control /run/guest.sock tcp:192.0.2.7:4444 --verify
              aerostat migrate --control /run/guest.sock file:/srv/guest.image
            """
    )

    @OptionGroup var options: ControlOptions

    @Argument(help: "Where to: tcp:HOST:PORT, unix:PATH, fd:N or file:PATH.")
    var uri: String

    @Option(
        help: ArgumentHelp("How long the guest may stand still at switch-over, at most 2000s; 300ms unless told.", valueName: "time"),
        transform: { try Values.duration($0, maximum: MigrationParameters.maximumDowntimeLimit) }
    )
    var downtimeLimit: Duration = MigrationParameters().downtimeLimit

    @Option(
        help: ArgumentHelp("The most to send while the guest runs, in bit/s (8G, 500Mbit/s); 0 is no limit.", valueName: "rate"),
        transform: { try Values.rate($0, minimum: MigrationParameters.minimumBandwidthLimit) }
    )
    var bandwidthLimit: Int = 0

    @Option(
        help: ArgumentHelp("How long the guest may take to reach switch-over; without it, any time.", valueName: "time"),
        transform: { try Values.duration($0) }
    )
    var timeout: Duration?

    @Option(help: "What happens then: the migration is cancelled (the default), or the guest is paused so that the rest gets across.")
    var onTimeout: MigrationParameters.TimeoutAction?

    @Flag(help: "Do not ask the guest which memory is free.")
    var noHints = false

    @Option(
        help: ArgumentHelp(
            "The longest to hold the first round back for hints, at most 60s; 1s unless told, or half of a shorter --timeout.",
            valueName: "time"
        ),
        transform: { try Values.duration($0, maximum: MigrationParameters.maximumHintGrace) }
    )
    var hintGrace: Duration?

    @Flag(help: "Compare all memory of both sides, while paused, before the guest is let go.")
    var verify = false

    @Option(help: "For an image: wait for the disk after each of the rounds (the default), at the end, or not at all (none).")
    var sync: ImageSync?

    @Option(
        help: ArgumentHelp("Write the report and its samples over time to a file.", valueName: "file"),
        completion: .file(),
        transform: Values.path
    )
    var record: String?

    func validate() throws {
        if let timeout, timeout <= .zero { throw ValidationError("--timeout must be more than 0 ms") }
        if timeout == nil, onTimeout != nil { throw ValidationError("--on-timeout goes with --timeout") }
        let place: MigrationURI
        do throws(MigrationURI.ParseError) { place = try MigrationURI(uri) } catch { throw ValidationError("\(error)") }
        if case .socket(.unix(let path)) = place, absolutePath(path).utf8.count > SocketAddress.maximumPathBytes {
            throw ValidationError(
                "'\(uri)': from the root on, its path is longer than \(SocketAddress.maximumPathBytes) bytes: \(absolutePath(path))"
            )
        }
        if case .file = place { return }
        if sync != nil { throw ValidationError("--sync goes with file:PATH") }
    }

    func run() async throws {
        var recorder = try record.map(MigrationRecorder.init)
        let client = try await options.connect()
        // Before the migration begins: the key would end this command, and not the migration, in the moments until then.
        let canceller = try MigrationCanceller(client)
        defer { canceller.end() }
        let start = WallClock.milliseconds()
        do {
            try await client.execute(.setMigrationParameters, parameters)
            try await client.execute(.migrate, MigrateArguments(uri: resolvedURI))
            // What was cancelled a moment before it began was not cancelled.
            if canceller.isPending { try await client.execute(.cancelMigration) }
        } catch ControlError.refused(let command, let error) {
            let state = try await client.runState()
            var report = try await client.migrationReport()
            if report.status == .none { report.status = .failed }
            throw ControlError.refused(command: command, QMPError(error.class, "\(error)\n\(place(state, report))"))
        } catch ControlError.connectionLost {
            // It may have begun, and even ended.
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
        // The report is final: that the source's process ends now changes nothing in it.
        let isWritten = conclude(report, try? await client.runState())
        // Afterwards, and whatever becomes of it: the exit code says where the guest is.
        recorder?.write(report)
        if ExitCode(report) != .success { throw ExitCode(report) }
        if !isWritten { throw ExitCode.unwritten }
    }

    /// A script that wants a document is not shown how it comes about.
    private var isWatched: Bool { !options.json || Terminal.isStandardErrorTerminal }

    private var pace: FollowingPace { isWatched || record != nil ? .watched : .unwatched }

    /// - Parameter state: `nil` where the source's process has ended since.
    /// - Returns: whether the result could be written.
    private func conclude(_ report: MigrationReport, _ state: RunState?) -> Bool {
        let text = MigrationText(report)
        let lines = ["\(text.outcome); \(place(state, report))"] + text.table
        guard options.json, let document = try? report.json else { return writeResult(lines.joined(separator: "\n")) }
        defer { writeToStandardError(lines.joined(separator: "\n") + "\n") }
        return writeResult(document.text(.indented))
    }

    /// The source's process ended, or closed its control socket, in the middle of the migration: nobody here knows where the guest is,
    /// unless it is in an image, which can be looked at.
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

    /// All of them, so that nothing lingers from an earlier migration.
    private var parameters: MigrationParameterChanges {
        var changes = MigrationParameterChanges()
        // Rounded up, here and there: 0 would mean none, and not a little.
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

    /// Paths are the caller's, but the guest's process opens them.
    private var resolvedURI: String {
        for scheme in ["unix:", "file:"] where uri.hasPrefix(scheme) {
            return scheme + absolutePath(String(uri.dropFirst(scheme.count)))
        }
        return uri
    }
}
