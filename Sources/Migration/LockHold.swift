#if Instruments
    import AerostatHost

    /// How long the ledger's lock was held: elapsed time, and the holder's processor time. They differ if the kernel gave the holder's core
    /// to another thread meanwhile. Compiled only with the trait `Instruments`, because reading processor time is a system call.
    public struct LockHold: Hashable, Sendable {
        public var elapsed: Duration = .zero
        public var processor: Duration = .zero

        struct Start {
            let elapsed = MonotonicClock.now()
            let processor = ThreadClock.now()
        }

        mutating func note(since start: Start) {
            processor = max(processor, ThreadClock.now() - start.processor)
            elapsed = max(elapsed, start.elapsed.duration(to: MonotonicClock.now()))
        }
    }
#endif
