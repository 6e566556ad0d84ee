package import AerostatHost

/// How long the drivers wait for a silent peer, and the clock that they use. No limit applies to a peer that makes progress.
package struct MigrationLimits: Sendable {
    package var clock: @Sendable () -> MonotonicClock.Instant = { MonotonicClock.now() }
    /// For connecting, and for the hello in each direction.
    package var greeting: Duration = .seconds(10)
    /// For a send or receive in progress that moves no byte. A slow link moves some.
    package var stall: Duration = .seconds(30)
    /// For the destination between two frames: the source may be harvesting, or holding its first round back for hints.
    package var silence: Duration = .seconds(120)
    /// How often the destination reports that bytes still arrive, while they do. The source cannot see how far its bytes have got once a
    /// tunnel or the kernel has taken them.
    package var heartbeat: Duration = .seconds(5)
    /// For the source, while nothing moves, until a round is acknowledged; and until `ready`, because the destination loads device state,
    /// and digests memory if asked to.
    package var ready: Duration = .seconds(120)
    /// For the source until `running`, after it sent `commit`.
    package var running: Duration = .seconds(30)
    /// For a side that gives up, until its reason is read.
    package var farewell: Duration = .seconds(2)

    package init() {}
}
