import CLinux

/// Hears signals that are to mean something else than an end at once, for the rest of the process.
///
/// Once this returned none is lost, which libdispatch's sources do not say of themselves: a signal between the moment when they are resumed
/// and the one when they have got ready is gone.
public enum SignalWatch {
    /// - Parameters:
    ///   - signals: their numbers; each is watched once in a process's life.
    ///   - body: called on a thread of its own, once for all that came meanwhile.
    public static func start(_ signals: [Int32], _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let bell = try Doorbell()
        _ = try HostThread(name: "signals") {
            // The thread keeps the bell for as long as the process lives.
            while bell.wait() { body() }
        }
        for number in signals {
            try retryingInterrupts("watch signal \(number)") { aerostat_ring_at_signal(number, bell.descriptor) }
        }
    }
}
