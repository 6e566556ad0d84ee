import GuestMemory
import Host
import Logging
import MicroVM
import Migration
import MigrationIO

/// Moves an idle machine under KVM from this process into this process, before there is one for which somebody waits.
enum Rehearsal {
    /// A huge page, and some that are none.
    private static let memoryBytes: UInt64 = 4 << 20
    private static let writtenBytes = 3 << 20

    /// Beside a guest that runs already.
    static func begin(tracker: TrackerKind?, logger: Logger) {
        _ = try? HostThread(name: "rehearsal") { moveIdleMachine(tracker: tracker, logger: logger) }
    }

    static func moveIdleMachine(tracker: TrackerKind?, logger: Logger) {
        guard MicroVM.unavailability == nil else { return }
        do {
            let machine = try MicroVM(idle: try RegionTable(contiguousBytes: memoryBytes), tracker: tracker)
            try machine.memory.fill(1, at: GuestAddress(0), byteCount: writtenBytes)
            let outcome = try rehearseMigration(of: machine, logger: logger) { (regions, requirements) throws(GuestError) in
                try MicroVM(shell: regions, requirements: requirements, tracker: tracker)
            }
            guard outcome != .completed else { return }
            logger.warning("a migration was rehearsed, and did not succeed: \(outcome)")
        } catch {
            logger.warning("a migration could not be rehearsed: \(error)")
        }
    }
}
