public import AerostatHost

/// The state of a balloon, for people.
public struct BalloonStatus: Hashable, Sendable {
    /// How many pages the host wants in the balloon.
    public var targetPages: UInt32
    /// How many pages the driver says are in the balloon. It reports this after each step, at the latest when it has reached the target.
    /// The value survives a reset until the next driver writes one.
    public var actualPages: UInt32
    /// How many pages are in the balloon now, as counted by the device. They use no memory, unless the balloon was inhibited or they are
    /// parts of huge pages.
    public var balloonedPages: Int
    /// Whether a driver is ready and the device is not broken. Without a driver, the target has no effect.
    public var isDriverReady: Bool
    /// Why no memory is given back at the moment: the reasons of all inhibitions. Empty if there are none.
    public var inhibitions: [String]
    /// When a page last went into the balloon or came out. If a driver has not reached its target and nothing moved for seconds, it finds
    /// no free memory.
    public var lastMovement: MonotonicClock.Instant?
    /// The error of the kernel's last refusal to take memory back.
    public var lastError: SystemError?
    public var counters: BalloonCounters
}
