import AerostatGuestMemory
package import AerostatHost
import AerostatIOUring
package import AerostatMigration
import CLiburing
import Glibc
import SystemPackage

/// A connected stream socket driven by io_uring: frames and pages go out and come in as scatter/gather messages straight from and to
/// guest memory.
///
/// Guest memory is never registered with the ring: that would pin old pages and populate all RAM (rule "no fixed buffers").
///
/// One message is under way in each direction; the next one out is already built while the kernel copies the one before it.
final class SocketTransport: Transport {
    var ring: Ring
    let socket: OwnedDescriptor
    let doorbell: Doorbell
    var outgoing: [OutgoingMessage]
    /// Which of `outgoing` is being sent, and how many are filled.
    var firstOutgoing = 0
    var filledOutgoing = 0
    var outgoingSequence: UInt32 = 0
    let incoming: IncomingMessage
    var pageCount = 0
    let isDisk = false
    /// Nothing is known to add to the rest's own time.
    let switchOverCost: Duration = .zero
    var bytesSent = 0
    var bytesReceived = 0
    private var isDoorbellPolled = false
    private var vanishedHost = VanishedHost(now: MonotonicClock.now())

    /// What completed operations are recognised by.
    enum Token: UInt64 {
        case send, receive, doorbell
    }

    /// Takes over a connected stream socket. Made and used on one thread.
    /// - Parameters:
    ///   - doorbell: wakes `wait(until:)`; it is answered by whoever asked to be woken.
    ///   - first: what was received of it already.
    init(
        _ socket: consuming OwnedDescriptor,
        doorbell: Doorbell,
        first: FirstFrame? = nil,
        plainRing: Bool = false
    ) throws(TransportError) {
        do throws(RingError) { ring = try Ring(entries: 16, plain: plainRing) } catch {
            throw .system(operation: "use io_uring", reason: "\(error)")
        }
        self.socket = socket
        self.doorbell = doorbell
        outgoing = [OutgoingMessage(), OutgoingMessage()]
        incoming = IncomingMessage()
        if let first {
            incoming.fill(first)
            bytesReceived = first.byteCount
        }
    }

    deinit {
        // Operations under way name this object's memory and guest memory. Shutting the socket down completes them; the ring's own end
        // would wait for them too, but the memory of the messages must outlive them.
        _ = shutdown(socket.number, Int32(SHUT_RDWR))
        var attempts = 0
        while ring.inFlight > (isDoorbellPolled ? 1 : 0), attempts < 100 {
            attempts += 1
            try? ring.submitAndWait(timeout: .milliseconds(20))
            while let completion = ring.nextCompletion() {
                if completion.token == Token.doorbell.rawValue { isDoorbellPolled = false }
            }
        }
        // Where an operation does not end with its socket, its memory must outlive this object, and the guest's: better lost than
        // written to by the kernel when it is somebody else's.
        if attempts == 100 {
            _ = unsafe Unmanaged.passRetained(incoming)
            for message in outgoing { _ = unsafe Unmanaged.passRetained(message) }
        }
    }

    /// What the other side's kernel has not acknowledged yet has not moved.
    var bytesMoved: Int { bytesSent - heldBytes(of: socket.number) + bytesReceived }

    /// Sleeps through the pieces in which a message moves: the driver has nothing to do before it is whole.
    func wait(until deadline: ContinuousClock.Instant?) throws(TransportError) {
        try vanishedHost.look(MonotonicClock.now()) { PeerSilence(of: socket.number) }
        try startReceivingFrameIfIdle()
        if !isDoorbellPolled {
            try mapping("watch for requests") { (ring: inout Ring) throws(RingError) in
                try ring.preparePoll(doorbell.descriptor, token: Token.doorbell.rawValue)
            }
            isDoorbellPolled = true
        }
        let end = deadline ?? MonotonicClock.now() + .seconds(3600)
        var left = MonotonicClock.now().duration(to: end)
        repeat {
            try mapping("wait") { (ring: inout Ring) throws(RingError) in try ring.submitAndWait(timeout: max(left, .zero)) }
            if try takeCompletions() { return }
            left = MonotonicClock.now().duration(to: end)
        } while left > .zero
    }

    /// - Returns: whether a message is whole, or the doorbell rang.
    private func takeCompletions() throws(TransportError) -> Bool {
        var isNews = false
        while let completion = ring.nextCompletion() {
            switch Token(rawValue: completion.token) {
            case .send: isNews = try sendCompleted(completion) || isNews
            case .receive: isNews = try receiveCompleted(completion) || isNews
            case .doorbell: (isDoorbellPolled, isNews) = (false, true)
            case nil: preconditionFailure("a completion that nobody asked for")
            }
        }
        return isNews
    }

    func discardIncoming(until deadline: ContinuousClock.Instant) {
        _ = shutdown(socket.number, Int32(SHUT_WR))
        var rest = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let left = MonotonicClock.now().duration(to: deadline)
            var entry = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
            guard left > .zero, unsafe poll(&entry, 1, Int32(clamping: left.wholeMilliseconds + 1)) > 0 else { return }
            guard unsafe recv(socket.number, &rest, rest.count, Int32(aerostat_msg_dontwait)) > 0 else { return }
        }
    }

    func mapping(_ operation: String, _ body: (inout Ring) throws(RingError) -> Void) throws(TransportError) {
        do throws(RingError) { try body(&ring) } catch { throw .system(operation: operation, reason: "\(error)") }
    }
}

/// A socket transport with a chosen set-up of its ring, for tests of both.
package func makeSocketTransport(
    _ socket: consuming OwnedDescriptor,
    doorbell: Doorbell,
    plainRing: Bool
) throws(TransportError) -> any Transport {
    try SocketTransport(socket, doorbell: doorbell, plainRing: plainRing)
}

/// Scatter/gather memory for one message: stays where it is while the kernel uses it.
@safe
struct ScatterGather: ~Copyable {
    /// The kernel's limit for one message (UIO_MAXIOV).
    static let maximumPieces = 1024

    let message: UnsafeMutablePointer<msghdr>
    private let pieces: UnsafeMutablePointer<iovec>
    private var first = 0
    private var count = 0

    init() {
        unsafe message = .allocate(capacity: 1)
        unsafe message.initialize(to: msghdr())
        unsafe pieces = .allocate(capacity: Self.maximumPieces)
    }

    deinit {
        unsafe message.deallocate()
        unsafe pieces.deallocate()
    }

    mutating func removeAll() { (first, count) = (0, 0) }

    mutating func append(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
        precondition(count < Self.maximumPieces, "too many pieces in one message")
        unsafe pieces[count] = iovec(iov_base: base, iov_len: byteCount)
        count += 1
    }

    /// Drops bytes that have been moved; the message then names the rest.
    /// - Returns: bytes left.
    mutating func advance(_ moved: Int) -> Int {
        var moved = moved
        while first < count, unsafe pieces[first].iov_len <= moved {
            unsafe moved -= pieces[first].iov_len
            first += 1
        }
        if first < count {
            unsafe pieces[first].iov_base += moved
            unsafe pieces[first].iov_len -= moved
        }
        precondition(first < count || moved == 0, "more bytes moved than the message had")
        unsafe message.pointee.msg_iov = pieces + first
        unsafe message.pointee.msg_iovlen = count - first
        return (first..<count).reduce(0) { unsafe $0 + pieces[$1].iov_len }
    }
}
