import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import Logging

/// Migrates an idle machine under KVM within this process. This finds problems before anybody waits for a real migration.
enum Rehearsal {
    /// A huge page, and some small pages.
    private static let memoryBytes: UInt64 = 4 << 20
    private static let writtenBytes = 3 << 20

    /// Runs on its own thread, so that neither a running nor an incoming guest waits for it.
    /// - Parameter failure: the log level of a failure. A success is not logged.
    static func begin(tracker: TrackerKind?, logger: Logger, failure: Logger.Level = .warning) {
        _ = try? HostThread(name: "rehearsal") { moveIdleMachine(tracker: tracker, logger: logger, failure: failure) }
    }

    private static func moveIdleMachine(tracker: TrackerKind?, logger: Logger, failure: Logger.Level) {
        guard MicroVM.unavailability == nil else { return }
        do {
            let machine = try MicroVM(idle: try RegionTable(contiguousBytes: memoryBytes), tracker: tracker)
            try machine.memory.fill(1, at: GuestAddress(0), byteCount: writtenBytes)
            try rehearseMigration(of: machine) { (regions, requirements) throws(GuestError) in
                try MicroVM(shell: regions, requirements: requirements, tracker: tracker)
            }
        } catch {
            logger.log(level: failure, "a guest under KVM may not be able to move here: an idle machine could not be: \(error)")
        }
    }
}
