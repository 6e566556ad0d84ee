import AerostatHost
import Synchronization

/// Lets the guest's threads run, makes them stand at their safe points, and ends them. Nothing polls: sleepers are woken.
final class RunControl: Sendable {
    private struct State {
        var isStill = true
        var ends = false
        /// How many threads must stand before the guest is still, and how many do.
        var threads = 0
        var parked = 0
    }

    private let state = Monitor(State())
    let clock = KernelClock()

    /// Counts a thread as parked, before it starts.
    func addThread() {
        state.withLock { state in
            state.threads += 1
            state.parked += 1
        }
    }

    // MARK: The guest's threads

    /// Called by a thread before anything else. It was counted as parked.
    /// - Returns: false if the thread must end.
    func start() -> Bool {
        state.wait { state -> Bool? in
            if state.ends { return false }
            if state.isStill { return nil }
            state.parked -= 1
            return true
        } ?? false
    }

    /// A point at which all of the thread's state is in RAM. The thread stands here while the guest is paused.
    /// - Returns: false if the thread must end.
    func safePoint() -> Bool {
        let mustStand = state.withLock { state in
            if state.isStill || state.ends { state.parked += 1 }
            return state.isStill || state.ends
        }
        guard mustStand else { return true }
        state.update { _ in }
        return start()
    }

    /// Sleeps until a time, or until the guest must stand or end.
    func sleep(until deadline: MonotonicClock.Instant?) {
        _ = state.wait(until: deadline) { $0.isStill || $0.ends ? true : nil }
    }

    var mustStand: Bool { state.withLock { $0.isStill || $0.ends } }

    // MARK: Their owner

    /// Asks all threads to stand. The caller must ring those that sleep on a doorbell.
    func requestStill() { state.update { $0.isStill = true } }

    /// Sleeps until all threads stand.
    func waitUntilStill() {
        _ = state.wait { $0.parked == $0.threads ? true : nil }
        clock.stop()
    }

    func run() {
        clock.start()
        state.update { $0.isStill = false }
    }

    /// Asks all threads to end, whether they stand or not.
    func end() { state.update { $0.ends = true } }
}

/// The guest's clock: how many nanoseconds it has run. It stops while the guest is paused, and moves as a register.
final class KernelClock: Sendable {
    private struct State {
        var elapsed: Duration = .zero
        var running: MonotonicClock.Instant?
    }

    private let state = Mutex(State())

    var nanoseconds: UInt64 {
        get { Self.nanoseconds(state.withLock { $0.elapsed + ($0.running.map { $0.duration(to: MonotonicClock.now()) } ?? .zero) }) }
        set { state.withLock { $0.elapsed = .nanoseconds(Int64(clamping: min(newValue, 1 << 62))) } }
    }

    /// The instant at which the clock will show a time, if it keeps running.
    func instant(of nanoseconds: UInt64) -> MonotonicClock.Instant {
        let now = self.nanoseconds
        return MonotonicClock.now() + .nanoseconds(nanoseconds > now ? Int64(clamping: nanoseconds - now) : 0)
    }

    func start() { state.withLock { $0.running = $0.running ?? MonotonicClock.now() } }

    func stop() {
        state.withLock { state in
            guard let running = state.running else { return }
            state.elapsed += running.duration(to: MonotonicClock.now())
            state.running = nil
        }
    }

    private static func nanoseconds(_ duration: Duration) -> UInt64 {
        let (seconds, attoseconds) = duration.components
        return UInt64(clamping: seconds) &* 1_000_000_000 &+ UInt64(clamping: attoseconds / 1_000_000_000)
    }
}
