package import AerostatHost

/// How long the drivers wait for a peer that is silent, and by which clock. None of it applies to a peer that makes progress.
package struct MigrationLimits: Sendable {
    package var clock: @Sendable () -> MonotonicClock.Instant = { MonotonicClock.now() }
    /// For a connection, and for the hello in each direction.
    package var greeting: Duration = .seconds(10)
    /// A send or receive under way that moves no byte. A slow link moves some.
    package var stall: Duration = .seconds(30)
    /// The destination between two frames: the source may be harvesting, or holding its first round back for hints.
    package var silence: Duration = .seconds(120)
    /// How often the destination says that bytes still come, while they do: the source cannot see how far they have got, where a tunnel or
    /// the kernel has taken them.
    package var heartbeat: Duration = .seconds(5)
    /// The source for the acknowledgement of a round, while nothing moves; and for `ready`: the destination loads device state, and
    /// digests memory where that was asked for.
    package var ready: Duration = .seconds(120)
    /// The source for `running` after it sent `commit`.
    package var running: Duration = .seconds(30)
    /// How long a side that gives up waits for its reason to be read.
    package var farewell: Duration = .seconds(2)

    package init() {}
}
