import GuestMemory
import Migration
import Synchronization
import Virtio

/// All that the device's threads share, under one lock.
///
/// The hint thread applies one piece of work for each hold of the lock, so whoever holds it once knows that no hint is in the middle of
/// being applied. `Mutex` is a priority-inheriting futex on Linux: whoever waits gets it at the next unlock, also from a thread that
/// takes it again and again.
final class BalloonCore: Sendable {
    private let state: Mutex<BalloonState>

    init(_ state: BalloonState) { self.state = Mutex(state) }

    func withState<Result, Failure: Error>(
        _ body: (inout sending BalloonState) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try state.withLock(body)
    }

    /// One piece of the hint thread's work.
    func step() -> BalloonState.Step { state.withLock { $0.step() } }
}
