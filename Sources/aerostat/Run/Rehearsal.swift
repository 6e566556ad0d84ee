import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import Logging

/// Moves an idle machine under KVM from this process into this process, before there is one for which somebody waits.
enum Rehearsal {
    /// A huge page, and some that are none.
    private static let memoryBytes: UInt64 = 4 << 20
    private static let writtenBytes = 3 << 20

    /// On a thread of its own: neither a guest that runs here nor one that comes at once waits for it.
    /// - Parameter failure: how loud to speak of one; of a success nobody hears.
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
