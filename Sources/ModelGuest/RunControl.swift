import AerostatHost
import Synchronization

/// Lets the guest's threads run, brings them to a stand at their safe points, and ends them. Nothing polls: sleepers are woken.
final class RunControl: Sendable {
    private struct State {
        var isStill = true
        var ends = false
        /// Threads that must stand for the guest to be still, and those that do.
        var threads = 0
        var parked = 0
    }

    private let state = Monitor(State())
    let clock = KernelClock()

    /// Counts a thread in, before it starts.
    func addThread() {
        state.withLock { state in
            state.threads += 1
            state.parked += 1
        }
    }

    // MARK: The guest's threads

    /// What a thread calls first, before anything else: it was counted in as parked.
    /// - Returns: false where the thread must end.
    func start() -> Bool {
        state.wait { state -> Bool? in
            if state.ends { return false }
            if state.isStill { return nil }
            state.parked -= 1
            return true
        } ?? false
    }

    /// A point at which all the thread's state is in RAM: here it stands while the guest is paused.
    /// - Returns: false where the thread must end.
    func safePoint() -> Bool {
        let mustStand = state.withLock { state in
            if state.isStill || state.ends { state.parked += 1 }
            return state.isStill || state.ends
        }
        guard mustStand else { return true }
        state.update { _ in }
        return start()
    }

    /// Sleeps at most until a time; less where the guest must stand or end.
    func sleep(until deadline: MonotonicClock.Instant?) {
        _ = state.wait(until: deadline) { $0.isStill || $0.ends ? true : nil }
    }

    var mustStand: Bool { state.withLock { $0.isStill || $0.ends } }

    // MARK: Their owner

    /// Asks all threads to stand. Those that sleep on a doorbell must be rung by the caller.
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

    /// Asks all threads to end, standing or not.
    func end() { state.update { $0.ends = true } }
}

/// The guest's clock: nanoseconds for which it ran. It stands while the guest is paused, and travels as a register.
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

    /// When the clock will show a time, if it goes on running.
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
