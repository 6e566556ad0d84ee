import AerostatGuestMemory
package import AerostatHost
import AerostatIOUring
package import AerostatMigration
import CLiburing
import Glibc
import SystemPackage

/// A connected stream socket driven by io_uring. Frames and pages are sent and received as scatter/gather messages, directly from and to
/// guest memory.
///
/// Guest memory is never registered with the ring: that would pin old pages and populate all RAM (rule "no fixed buffers").
///
/// One message is in progress in each direction. The next outgoing one is built while the kernel copies the one before it.
final class SocketTransport: Transport {
    var ring: Ring
    let socket: OwnedDescriptor
    let doorbell: Doorbell
    var outgoing: [OutgoingMessage]
    /// The index in `outgoing` of the message that is being sent, and how many are filled.
    var firstOutgoing = 0
    var filledOutgoing = 0
    var outgoingSequence: UInt32 = 0
    let incoming: IncomingMessage
    var pageCount = 0
    let isDisk = false
    /// A socket adds no known cost to the time that the rest takes.
    let switchOverCost: Duration = .zero
    var bytesSent = 0
    var bytesReceived = 0
    private var isDoorbellPolled = false
    private var vanishedHost = VanishedHost(now: MonotonicClock.now())

    /// Identifies completed operations.
    enum Token: UInt64 {
        case send, receive, doorbell
    }

    /// Takes over a connected stream socket. Created and used on one thread.
    /// - Parameters:
    ///   - doorbell: wakes `wait(until:)`. The caller that asked to be woken answers it.
    ///   - first: the frame that was already received on this socket.
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
        // Operations in progress refer to this object's memory and to guest memory. Shutting the socket down completes them. The ring's own
        // deinit would wait for them too, but the memory of the messages must outlive them.
        _ = shutdown(socket.number, Int32(SHUT_RDWR))
        var attempts = 0
        while ring.inFlight > (isDoorbellPolled ? 1 : 0), attempts < 100 {
            attempts += 1
            try? ring.submitAndWait(timeout: .milliseconds(20))
            while let completion = ring.nextCompletion() {
                if completion.token == Token.doorbell.rawValue { isDoorbellPolled = false }
            }
        }
        // If an operation does not end with its socket, its memory, and the guest's, must outlive this object. Leaking it is better than
        // letting the kernel write to memory that has a new owner.
        if attempts == 100 {
            _ = unsafe Unmanaged.passRetained(incoming)
            for message in outgoing { _ = unsafe Unmanaged.passRetained(message) }
        }
    }

    /// Bytes that the other side's kernel has not acknowledged yet do not count as moved.
    var bytesMoved: Int { bytesSent - heldBytes(of: socket.number) + bytesReceived }

    /// Sleeps through the partial transfers of a message, because the driver has nothing to do before the message is complete.
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

    /// - Returns: whether a message is complete, or the doorbell rang.
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

/// A socket transport with a chosen ring set-up, to test both.
package func makeSocketTransport(
    _ socket: consuming OwnedDescriptor,
    doorbell: Doorbell,
    plainRing: Bool
) throws(TransportError) -> any Transport {
    try SocketTransport(socket, doorbell: doorbell, plainRing: plainRing)
}

/// The scatter/gather list of one message. Its address does not change while the kernel uses it.
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

    /// Drops bytes that have been moved. The message then lists the rest.
    /// - Returns: the number of bytes left.
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
