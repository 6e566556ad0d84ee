package import AerostatHost
package import AerostatMigration

/// Detects that the host at the other end of a TCP link has vanished while data is on its way there.
///
/// A host whose process does not read has not vanished: its kernel acknowledges what arrived, and every probe.
package struct VanishedHost {
    private static let lookInterval: Duration = .seconds(1)

    private var nextLook: MonotonicClock.Instant
    /// Since when every check found data on its way.
    private var awaitingSince: MonotonicClock.Instant?

    package init(now: MonotonicClock.Instant) { nextLook = now }

    /// Call this whenever the link is waited for.
    /// - Parameter silence: what the kernel knows. Only called once per interval.
    package mutating func look(_ now: MonotonicClock.Instant, _ silence: () -> PeerSilence?) throws(TransportError) {
        guard now >= nextLook else { return }
        nextLook = now + Self.lookInterval
        guard let silence = silence(), silence.isAwaitingAcknowledgement else {
            awaitingSince = nil
            return
        }
        let since = awaitingSince ?? now
        awaitingSince = since
        // The kernel's time also covers an idle phase, in which nobody had to answer.
        let time = min(since.duration(to: now), silence.duration)
        guard time >= PeerLiveness.limit else { return }
        let reason = "nothing that was sent has been acknowledged for \(Int(PeerLiveness.limit.inSeconds)) s"
        throw .system(operation: "reach the other side's host any more", reason: reason)
    }
}
