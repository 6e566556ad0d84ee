package import AerostatMigration
package import ArgumentParser

/// The exit codes of the command. 64 (usage) comes from the argument parser.
extension ExitCode {
    /// The guest still runs where it ran before.
    package static let failed = ExitCode(1)
    /// Verification, or the guest's check of itself, found a difference.
    package static let differs = ExitCode(2)
    /// The link was lost between commit and running.
    package static let outcomeUnknown = ExitCode(3)
    /// The command did what was asked, but could not write the result to standard output (EX_IOERR in sysexits.h). Any other code takes
    /// precedence, because the others say where the guest is.
    package static let unwritten = ExitCode(74)

    /// The exit code for a migration that is over.
    package init(_ report: MigrationReport) {
        self =
            switch report.status {
            case _ where report.verify?.status == .failed: .differs
            case .completed: .success
            case .unknown: .outcomeUnknown
            default: .failed
            }
    }
}
