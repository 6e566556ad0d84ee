import Host

/// Tells a process that does not read from a host that has vanished, for the kernel.
///
/// The kernel's limit for data without an acknowledgement also runs where the other side answers every probe and has no room: it would end
/// the link to a process that is stopped, or to a tunnel that is slow, before the driver's own limits do. So the kernel has no such limit as
/// long as the other side's window is closed.
package struct WindowWatch {
    /// A link is looked at when nothing has moved for so long.
    private let patience: Duration
    private var moved = -1
    private var since = MonotonicClock.now()
    private var isLifted = false

    package init(patience: Duration = .seconds(1)) { self.patience = patience }

    /// Called whenever the link is waited for.
    /// - Parameter moved: changes when bytes enter or leave the socket.
    package mutating func look(at number: Int32, moved: Int) {
        let now = MonotonicClock.now()
        if moved != self.moved {
            (self.moved, since) = (moved, now)
            lift(false, number)
        } else if since.duration(to: now) >= patience {
            lift(SocketBacklog(of: number).isWindowClosed, number)
        }
    }

    private mutating func lift(_ lifts: Bool, _ number: Int32) {
        guard lifts != isLifted else { return }
        isLifted = lifts
        limitUnacknowledged(of: number, milliseconds: lifts ? 0 : PeerLiveness.unacknowledgedMilliseconds)
    }
}
