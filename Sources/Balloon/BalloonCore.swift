import GuestMemory
import Migration
import Synchronization
import Virtio

/// All that the device's threads share, under one lock.
///
/// The hint thread applies one piece of work for each hold of the lock, so whoever holds it once knows that no hint is in the middle of
/// being applied.
final class BalloonCore: Sendable {
    private let state: Mutex<BalloonState>
    /// Held by everybody but the hint thread while they wait for the lock and have it. The hint thread only passes through, so it queues
    /// behind them instead of taking the lock again before a waiter wakes up.
    private let turnstile = Mutex(())

    init(_ state: BalloonState) { self.state = Mutex(state) }

    func withState<Result, Failure: Error>(
        _ body: (inout sending BalloonState) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try turnstile.withLock { _ throws(Failure) in try state.withLock(body) }
    }

    /// One piece of the hint thread's work.
    func step() -> BalloonState.Step {
        turnstile.withLock { _ in }
        return state.withLock { $0.step() }
    }
}
