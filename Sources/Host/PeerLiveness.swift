import CLinux
import Glibc

/// Within what time a host that has vanished (power cut, cable pulled) is noticed.
///
/// All of this is about TCP: the other end of a unix socket is a process of this host.
package enum PeerLiveness {
    /// The kernel probes an idle link after this: a guest that stands still waits for an answer that never comes.
    package static let idleSeconds: Int32 = 5
    /// Between two probes; four lost ones in a row are no accident.
    package static let probeIntervalSeconds: Int32 = 2
    package static let probeCount: Int32 = 4
    /// How long data may be on its way without a word from the other host: as long as the probes of an idle link take. Linux would
    /// retransmit for a quarter of an hour.
    package static let limit: Duration = .seconds(Int(idleSeconds + probeIntervalSeconds * probeCount))
}

/// Sets up a link's socket: small frames (ready, commit, running) must not wait for more, and the kernel looks whether an idle link still
/// has another end, which it reports as a time-out.
///
/// The kernel's own limit for data without an acknowledgement (TCP_USER_TIMEOUT) is not set: Linux also counts the time for which the other
/// side has no room, although its host answers every probe, and so ends a link that is slow but alive. `VanishedHost` looks instead.
package func noticeDeadPeer(of number: Int32) {
    // Unix sockets refuse those of TCP, which they do not need.
    setOption(number, SOL_SOCKET, SO_KEEPALIVE, 1)
    setOption(number, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    setOption(number, Int32(IPPROTO_TCP), TCP_KEEPIDLE, PeerLiveness.idleSeconds)
    setOption(number, Int32(IPPROTO_TCP), TCP_KEEPINTVL, PeerLiveness.probeIntervalSeconds)
    setOption(number, Int32(IPPROTO_TCP), TCP_KEEPCNT, PeerLiveness.probeCount)
}

/// Bytes that a socket has taken from its process and that the other side's kernel (for a unix socket: process) has not taken yet. Of a
/// unix socket it is memory in place of bytes: good to see that something moves.
package func heldBytes(of number: Int32) -> Int {
    var held: Int32 = 0
    return unsafe aerostat_outgoing_queue(number, &held) == 0 ? Int(held) : 0
}

/// What the kernel knows of the other end of a TCP link.
package struct PeerSilence: Hashable, Sendable {
    /// Something was sent and is not acknowledged. Data for which the other side has no room is not sent.
    package var isAwaitingAcknowledgement: Bool
    /// Since any acknowledgement came, one of a probe included.
    package var duration: Duration

    package init(isAwaitingAcknowledgement: Bool, duration: Duration) {
        self.isAwaitingAcknowledgement = isAwaitingAcknowledgement
        self.duration = duration
    }

    /// `nil` where the socket is none of TCP.
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
