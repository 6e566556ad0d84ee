package import AerostatHost
package import AerostatMigration

/// Notices that the host at the other end of a TCP link has vanished while something is on its way there.
///
/// A host whose process does not read is none of these: it acknowledges what came and every probe.
package struct VanishedHost {
    private static let lookInterval: Duration = .seconds(1)

    private var nextLook: MonotonicClock.Instant
    /// Since when, at every look, something was on its way.
    private var awaitingSince: MonotonicClock.Instant?

    package init(now: MonotonicClock.Instant) { nextLook = now }

    /// Called whenever the link is waited for.
    /// - Parameter silence: what the kernel knows; asked for now and then only.
    package mutating func look(_ now: MonotonicClock.Instant, _ silence: () -> PeerSilence?) throws(TransportError) {
        guard now >= nextLook else { return }
        nextLook = now + Self.lookInterval
        guard let silence = silence(), silence.isAwaitingAcknowledgement else {
            awaitingSince = nil
            return
        }
        let since = awaitingSince ?? now
        awaitingSince = since
        // The kernel's time runs through an idle phase too, in which nobody had to answer.
        let time = min(since.duration(to: now), silence.duration)
        guard time >= PeerLiveness.limit else { return }
        let reason = "nothing that was sent has been acknowledged for \(Int(PeerLiveness.limit.inSeconds)) s"
        throw .system(operation: "reach the other side's host any more", reason: reason)
    }
}
