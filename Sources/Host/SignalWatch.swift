import CLinux
import Glibc

/// Hears signals that are to mean something else than an end at once.
///
/// Once `start` has returned none is lost, which libdispatch's sources do not say of themselves: a signal between the moment when they are
/// resumed and the one when they have got ready is gone.
public enum SignalWatch {
    /// What asks a process to end: the interrupt key, a service manager, and a terminal that goes away.
    public static let endings = [SIGINT, SIGTERM, SIGHUP]

    /// - Parameters:
    ///   - signals: their numbers; one that was watched before is heard by this body only. SIGHUP is not heard if the process was started
    ///     with SIGHUP ignored, as `nohup` does.
    ///   - body: called on a thread of its own for each signal that came; once for several of the same number that came meanwhile.
    public static func start(_ signals: [Int32], _ body: @escaping @Sendable (Int32) -> Void) throws(SystemError) {
        let bell = try Doorbell()
        _ = try HostThread(name: "signals") {
            // Whoever started this process may have blocked them, and nobody would ever hear them.
            for number in signals { _ = aerostat_unblock_signal(number) }
            // The thread keeps the bell for as long as the process lives.
            while bell.wait() {
                for number in signals where aerostat_take_signal(number) != 0 { body(number) }
            }
        }
        for number in signals {
            try retryingInterrupts("watch signal \(number)") { aerostat_ring_at_signal(number, bell.descriptor) }
        }
    }

    /// Has signals do again what they do by themselves, where they are watched.
    public static func end(_ signals: [Int32]) {
        for number in signals { _ = aerostat_leave_signal(number) }
    }
}
