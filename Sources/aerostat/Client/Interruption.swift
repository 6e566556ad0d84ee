import AerostatHost
import Synchronization

/// Hears the first termination signal (the interrupt key, SIGTERM, SIGHUP), which then no longer ends the command. A second one does.
final class Interruption: Sendable {
    private let pending: Flag

    private final class Flag: Sendable {
        let value = Atomic(false)
    }

    /// Whether the signal has arrived.
    var isPending: Bool { pending.value.load(ordering: .sequentiallyConsistent) }

    /// - Parameter first: called on another thread when the signal arrives.
    init(_ first: @escaping @Sendable () -> Void = {}) throws(SystemError) {
        let flag = Flag()
        pending = flag
        try SignalWatch.start(SignalWatch.endings) { _ in
            SignalWatch.end(SignalWatch.endings)
            flag.value.store(true, ordering: .sequentiallyConsistent)
            first()
        }
    }

    /// Stops watching for signals.
    func end() { SignalWatch.end(SignalWatch.endings) }
}
