import CLinux
import Glibc

/// An eventfd that one side rings and the other sleeps on: a virtqueue kick, an interrupt, a request to stop.
public final class Doorbell: Sendable {
    private let event: OwnedDescriptor

    /// The eventfd's number, for a ring or a poll set. This object owns it.
    public var descriptor: Int32 { event.number }

    public init() throws(SystemError) {
        event = OwnedDescriptor(
            adopting: try retryingInterrupts("create an eventfd") { eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)) }
        )
    }

    /// Wakes the sleeper, or makes its next sleep return at once. Never blocks.
    public func ring() {
        var one: UInt64 = 1
        // EAGAIN means that the counter is full, so the bell is already ringing.
        while unsafe Glibc.write(event.number, &one, 8) < 0, errno == EINTR {}
    }

    /// Takes all rings so far. Returns false if there were none. Never blocks.
    @discardableResult
    public func answer() -> Bool {
        var count: UInt64 = 0
        while true {
            let result = unsafe Glibc.read(event.number, &count, 8)
            if result == 8 { return true }
            if result < 0, errno == EINTR { continue }
            return false
        }
    }

    /// Sleeps until the bell rings or the timeout is over. Answers the ring.
    /// - Parameter timeout: the longest sleep; `nil` sleeps until rung.
    /// - Returns: whether it rang.
    @discardableResult
    public func wait(timeout: Duration? = nil) -> Bool {
        let deadline = timeout.map { MonotonicClock.now() + $0 }
        while true {
            if answer() { return true }
            var milliseconds: Int32 = -1
            if let deadline {
                let left = MonotonicClock.now().duration(to: deadline)
                if left <= .zero { return false }
                milliseconds = Int32(clamping: left.wholeMilliseconds + 1)
            }
            var entry = pollfd(fd: event.number, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&entry, 1, milliseconds)
        }
    }
}
