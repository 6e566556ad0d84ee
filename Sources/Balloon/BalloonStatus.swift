public import AerostatHost

/// How a balloon stands, for people.
public struct BalloonStatus: Hashable, Sendable {
    /// How many pages the host wants in the balloon.
    public var targetPages: UInt32
    /// How many the driver says that there are. It says so after each step, and at the latest when it has reached the target. What a driver
    /// said before a reset stands until the next one says something.
    public var actualPages: UInt32
    /// How many pages are in the balloon now, as the device counted them. They cost nothing, unless the balloon was inhibited, or they are
    /// parts of huge pages.
    public var balloonedPages: Int
    /// Whether a driver is at work and the device is not broken. Without one, the target changes nothing.
    public var isDriverReady: Bool
    /// Why no memory is given back at the moment, as those who forbade it said; empty where nobody did.
    public var inhibitions: [String]
    /// When a page last went into the balloon or came out: a driver that has not reached its target, and for seconds did nothing, finds no
    /// free memory.
    public var lastMovement: MonotonicClock.Instant?
    /// What the kernel said when it last refused to take memory back.
    public var lastError: SystemError?
    public var counters: BalloonCounters
}
