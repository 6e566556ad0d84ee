import CLinux
import Glibc

/// Handles signals that should not simply end the process.
///
/// Once `start` has returned, no signal is lost. The signal sources of libdispatch do not promise that: a signal that arrives after they
/// are resumed but before they are ready is lost.
public enum SignalWatch {
    /// Signals that ask a process to end: the interrupt key, a service manager, a terminal that goes away.
    public static let endings = [SIGINT, SIGTERM, SIGHUP]

    /// - Parameters:
    ///   - signals: their numbers. If one was watched before, only this body is called for it from now on. SIGHUP is not watched if the
    ///     process was started with SIGHUP ignored, as `nohup` does.
    ///   - body: called on a separate thread for each signal, and once for several of the same number that arrive in the meantime.
    public static func start(_ signals: [Int32], _ body: @escaping @Sendable (Int32) -> Void) throws(SystemError) {
        let bell = try Doorbell()
        _ = try HostThread(name: "signals") {
            // The parent process may have blocked them, and then they would never arrive.
            for number in signals { _ = aerostat_unblock_signal(number) }
            // The thread keeps the bell as long as the process lives.
            while bell.wait() {
                for number in signals where aerostat_take_signal(number) != 0 { body(number) }
            }
        }
        for number in signals {
            try retryingInterrupts("watch signal \(number)") { aerostat_ring_at_signal(number, bell.descriptor) }
        }
    }

    /// Restores the default effect of signals that are watched.
    public static func end(_ signals: [Int32]) {
        for number in signals { _ = aerostat_leave_signal(number) }
    }
}
