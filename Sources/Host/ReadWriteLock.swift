import Glibc

/// A value that many threads may read at the same time, or one thread may change while nobody reads.
///
/// For values that are read often and for some time, and rarely changed. A thread that holds the lock must not take it again.
// @unchecked: `state` is only touched between lock and unlock of `lock`, which is thread-safe.
@safe package final class ReadWriteLock<State>: @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_rwlock_t>
    private var state: State

    package init(_ state: sending State) {
        self.state = state
        unsafe lock = .allocate(capacity: 1)
        unsafe pthread_rwlock_init(lock, nil)
    }

    deinit {
        unsafe pthread_rwlock_destroy(lock)
        unsafe lock.deallocate()
    }

    /// Reads the state. Other threads may read at the same time.
    package func read<Result, Failure: Error>(_ body: (State) throws(Failure) -> Result) throws(Failure) -> Result {
        unsafe pthread_rwlock_rdlock(lock)
        defer { unsafe pthread_rwlock_unlock(lock) }
        return try body(state)
    }

    /// Changes the state. No other thread reads or changes it at the same time.
    package func update<Result, Failure: Error>(_ body: (inout State) throws(Failure) -> Result) throws(Failure) -> Result {
        unsafe pthread_rwlock_wrlock(lock)
        defer { unsafe pthread_rwlock_unlock(lock) }
        return try body(&state)
    }
}
