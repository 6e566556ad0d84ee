package import AerostatMigration

// Where the guest is, as the asked process reports it.
extension MigrationText {
    /// For a person who has migrated the guest, or cancelled a migration. For them this process is the source.
    package static func whereabouts(_ state: RunState, after report: MigrationReport, control: String) -> String {
        switch (state, report.status) {
        case (.running, .none): inThisProcess
        case (.running, .unknown), (.running, .completed): again
        case (.running, _): "the guest is still running at the source"
        case (.paused, .unknown): unknown(report, control)
        case (.paused, .none): "the guest is paused; \(resume(control)) runs it"
        case (.paused, _): "the guest is paused at the source; \(resume(control)) runs it"
        case (.finishMigrate, _): "the guest is paused at the source, for the switch-over"
        case (.postMigrate, .completed) where !isInImage(report):
            report.downtime == nil ? "the guest is at the destination now, paused as it was here" : "the guest now runs at the destination"
        default: elsewhere(state, report, control)
        }
    }

    /// For a person who asks about this process. Its guest may have stayed, come back, or come from elsewhere.
    package static func standing(_ state: RunState, after report: MigrationReport, control: String) -> String {
        switch (state, report.status) {
        case (.running, .none): inThisProcess
        case (.running, .unknown), (.running, .completed): again
        case (.running, .failed), (.running, .cancelled): "\(inThisProcess); it never left"
        case (.running, _): "\(inThisProcess), until it is switched over"
        case (.paused, .unknown): unknown(report, control)
        case (.paused, .failed), (.paused, .cancelled): "the guest is paused in this process; it never left. \(resume(control)) runs it"
        case (.paused, _): "the guest is paused in this process; \(resume(control)) runs it"
        case (.finishMigrate, _): "the guest is paused in this process, for the switch-over"
        case (.postMigrate, .completed) where !isInImage(report):
            "the guest has left this process for "
                + "\(report.destination ?? "the destination")\(report.downtime == nil ? ", paused as it was" : "")"
        default: elsewhere(state, report, control)
        }
    }

    private static let inThisProcess = "the guest runs in this process"

    /// A person used `--force`, and so vouched that the destination does not run the guest, or that nobody starts its image.
    private static let again = "the guest runs in this process again: it was resumed with --force"

    private static func resume(_ control: String) -> String { "'aerostat resume --control \(control)'" }

    private static func isInImage(_ report: MigrationReport) -> Bool { report.destination?.hasPrefix("file:") == true }

    private static func unknown(_ report: MigrationReport, _ control: String) -> String {
        if let image = report.destination, isInImage(report) {
            return """
                the guest is paused here and may be in its image. Check with 'aerostat image info' whether this migration wrote \
                \(image.dropFirst("file:".count)). If it did, end this side with 'aerostat quit --control \(control)'. Only if it did \
                not, run the guest here with 'aerostat resume --force --control \(control)'
                """
        }
        return """
            the guest is paused here and may be running at the destination. Ask the destination with 'aerostat status'. If the guest \
            runs there, end this side with 'aerostat quit --control \(control)'. Only if the destination is gone, run the guest here \
            with 'aerostat resume --force --control \(control)'
            """
    }

    /// The texts that `whereabouts` and `standing` share.
    private static func elsewhere(_ state: RunState, _ report: MigrationReport, _ control: String) -> String {
        switch state {
        case .running: inThisProcess
        case .paused, .finishMigrate: report.status == .unknown ? unknown(report, control) : "the guest is paused"
        case .preLaunch: "the guest has not been started; \(resume(control)) runs it"
        case .inMigrate: "this process waits for an incoming guest"
        case .restoreVM: "the guest's memory is being read from its image"
        case .postMigrate:
            if let image = report.destination, isInImage(report) {
                "the guest is in the image now; 'aerostat run --restore \(image)' starts it"
            } else {
                report.status == .unknown ? unknown(report, control) : "the guest has left this process for the destination"
            }
        case .shutdown: "the guest has shut down"
        case .guestPanicked: "the guest has crashed"
        }
    }
}
