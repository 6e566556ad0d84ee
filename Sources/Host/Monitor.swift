import CLinux
import Glibc

/// A value protected by a mutex with a condition variable. Threads change it, wait for it to change, and wake each other.
///
/// `Synchronization.Mutex` has no condition variable, which threads need to sleep and be woken.
// @unchecked: `state` is only touched between lock and unlock of `mutex`; the two pthread objects are thread-safe.
@safe public final class Monitor<State>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var state: State

    public init(_ state: sending State) {
        self.state = state
        unsafe mutex = .allocate(capacity: 1)
        unsafe condition = .allocate(capacity: 1)
        unsafe pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(condition, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    /// Reads or changes the state. Does not wake anybody.
    public func withLock<Result, Failure: Error>(_ body: (inout State) throws(Failure) -> Result) throws(Failure) -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try body(&state)
    }

    /// Changes the state and wakes all waiters.
    public func update<Result, Failure: Error>(_ body: (inout State) throws(Failure) -> Result) throws(Failure) -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer {
            unsafe pthread_cond_broadcast(condition)
            unsafe pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    /// Sleeps until `body` returns a result. `body` is called again after each update.
    /// - Parameter deadline: when to give up; `nil` waits for ever.
    /// - Returns: the result, or `nil` at the deadline.
    public func wait<Result>(until deadline: MonotonicClock.Instant? = nil, _ body: (inout State) -> Result?) -> Result? {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        while true {
            if let result = body(&state) { return result }
            guard let deadline else {
                unsafe pthread_cond_wait(condition, mutex)
                continue
            }
            let left = MonotonicClock.now().duration(to: deadline)
            if left <= .zero { return nil }
            var wake = timespec()
            unsafe clock_gettime(CLOCK_MONOTONIC, &wake)
            let (seconds, attoseconds) = left.components
            wake.tv_sec += Int(seconds)
            wake.tv_nsec += Int(attoseconds / 1_000_000_000)
            if wake.tv_nsec >= 1_000_000_000 {
                wake.tv_sec += 1
                wake.tv_nsec -= 1_000_000_000
            }
            _ = unsafe pthread_cond_timedwait(condition, mutex, &wake)
        }
    }
}
