package import AerostatHost

/// The clocks that a balloon reads.
package struct BalloonClock: Sendable {
    package var now: @Sendable () -> MonotonicClock.Instant
    /// The time of day, in milliseconds since 1970.
    package var wallMilliseconds: @Sendable () -> UInt64

    package init(now: @escaping @Sendable () -> MonotonicClock.Instant, wallMilliseconds: @escaping @Sendable () -> UInt64) {
        self.now = now
        self.wallMilliseconds = wallMilliseconds
    }

    package static let host = BalloonClock(now: MonotonicClock.now, wallMilliseconds: WallClock.milliseconds)
}
