import CLinux
import Glibc

/// Within what time a host that has vanished (power cut, cable pulled) is noticed by the kernel, which reports the link as timed out.
///
/// All of this is about TCP: the other end of a unix socket is a process of this host.
package enum PeerLiveness {
    /// An idle link is probed after this: a guest that stands still waits for an answer that never comes.
    package static let idleSeconds: Int32 = 5
    /// Between two probes; four lost ones in a row are no accident.
    package static let probeIntervalSeconds: Int32 = 2
    package static let probeCount: Int32 = 4
    /// How long data may go without an acknowledgement: as long as the probes of an idle link take. Linux would retransmit for a quarter of
    /// an hour otherwise.
    package static let unacknowledgedMilliseconds: Int32 = (idleSeconds + probeIntervalSeconds * probeCount) * 1000
}

/// Sets up a link's socket: small frames (ready, commit, running) must not wait for more, and a host that vanishes must be noticed in seconds.
package func noticeDeadPeer(of number: Int32) {
    // Unix sockets refuse those of TCP, which they do not need.
    setOption(number, SOL_SOCKET, SO_KEEPALIVE, 1)
    setOption(number, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    setOption(number, Int32(IPPROTO_TCP), TCP_KEEPIDLE, PeerLiveness.idleSeconds)
    setOption(number, Int32(IPPROTO_TCP), TCP_KEEPINTVL, PeerLiveness.probeIntervalSeconds)
    setOption(number, Int32(IPPROTO_TCP), TCP_KEEPCNT, PeerLiveness.probeCount)
    limitUnacknowledged(of: number, milliseconds: PeerLiveness.unacknowledgedMilliseconds)
}

/// - Parameter milliseconds: how long data may go without an acknowledgement; 0 leaves it to the kernel.
package func limitUnacknowledged(of number: Int32, milliseconds: Int32) {
    setOption(number, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, milliseconds)
}

/// What a socket has taken from its process and still holds.
package struct SocketBacklog: Hashable, Sendable {
    /// Bytes that the other side's kernel (for a unix socket: process) has not taken yet. Of a unix socket, memory in place of bytes.
    package var held = 0
    /// Of these, the bytes that have not even been sent; 0 for a unix socket.
    package var unsent = 0

    package init(of number: Int32) {
        var (held, unsent) = (Int32(0), Int32(0))
        if unsafe aerostat_outgoing_queue(number, &held, &unsent) == 0 { (self.held, self.unsent) = (Int(held), Int(unsent)) }
    }

    /// Nothing is on its way although there is something to send: the other side's kernel lives and has no room, since its process does not read.
    package var isWindowClosed: Bool { unsent > 0 && unsent == held }
}

private func setOption(_ number: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    unsafe setsockopt(number, level, option, &value, 4)
}
