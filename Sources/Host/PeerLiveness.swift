import CLinux
import Glibc

/// How soon a host that has vanished (power cut, cable pulled) is noticed.
///
/// All of this concerns TCP. The other end of a unix socket is a process of this host.
package enum PeerLiveness {
    /// The kernel probes an idle link after this time. Otherwise a paused guest would wait for an answer that never comes.
    package static let idleSeconds: Int32 = 5
    /// The time between two probes. Four lost ones in a row are not an accident.
    package static let probeIntervalSeconds: Int32 = 2
    package static let probeCount: Int32 = 4
    /// How long data may be unacknowledged without a sign of life from the other host: the time that the probes of an idle link take. Linux
    /// would retransmit for a quarter of an hour.
    package static let limit: Duration = .seconds(Int(idleSeconds + probeIntervalSeconds * probeCount))
}

/// Sets up a link's socket. Small frames (ready, commit, running) must not wait for more data. The kernel checks whether an idle link still
/// has another end, and reports a time-out if not.
///
/// The kernel's own limit for unacknowledged data (TCP_USER_TIMEOUT) is not set. Linux also counts the time for which the other side has no
/// room, although its host answers every probe, and so would end a link that is slow but alive. `VanishedHost` checks instead.
package func noticeDeadPeer(of number: Int32) {
    // Unix sockets refuse the TCP options, and do not need them.
    setOption(number, SOL_SOCKET, SO_KEEPALIVE, 1)
    setOption(number, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    setOption(number, Int32(IPPROTO_TCP), TCP_KEEPIDLE, PeerLiveness.idleSeconds)
    setOption(number, Int32(IPPROTO_TCP), TCP_KEEPINTVL, PeerLiveness.probeIntervalSeconds)
    setOption(number, Int32(IPPROTO_TCP), TCP_KEEPCNT, PeerLiveness.probeCount)
}

/// Bytes that a socket has accepted from its process but the other side's kernel has not yet acknowledged (for a unix socket: the other
/// process has not read). For a unix socket the unit is memory instead of bytes, which is enough to see that something moves.
package func heldBytes(of number: Int32) -> Int {
    var held: Int32 = 0
    return unsafe aerostat_outgoing_queue(number, &held) == 0 ? Int(held) : 0
}

/// What the kernel knows about the other end of a TCP link.
package struct PeerSilence: Hashable, Sendable {
    /// Whether something was sent and is not acknowledged. Data for which the other side has no room is not sent.
    package var isAwaitingAcknowledgement: Bool
    /// The time since the last acknowledgement, including that of a probe.
    package var duration: Duration

    package init(isAwaitingAcknowledgement: Bool, duration: Duration) {
        self.isAwaitingAcknowledgement = isAwaitingAcknowledgement
        self.duration = duration
    }

    /// `nil` if the socket is not a TCP socket.
    package init?(of number: Int32) {
        var (packets, milliseconds) = (UInt32(0), UInt32(0))
        guard unsafe aerostat_tcp_silence(number, &packets, &milliseconds) == 0 else { return nil }
        self.init(isAwaitingAcknowledgement: packets > 0, duration: .milliseconds(Int(milliseconds)))
    }
}

private func setOption(_ number: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    unsafe setsockopt(number, level, option, &value, 4)
}
