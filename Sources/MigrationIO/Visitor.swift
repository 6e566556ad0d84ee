import AerostatHost
import AerostatMigration
import CLiburing
import Glibc
import SystemPackage

/// The first frame that somebody sent, received whole and with a sound checksum.
struct FirstFrame: Sendable {
    let header: FrameHeader
    let headerBytes: [UInt8]
    let body: [UInt8]

    var byteCount: Int { headerBytes.count + body.count }
}

/// A connection that has not shown yet what it brings, or that is shown the door. Nothing here waits.
final class Visitor {
    /// What came of listening to a visitor.
    enum Word {
        /// Nothing, or not all of it yet.
        case nothing
        case hello(FirstFrame)
        /// It is no source.
        case noSource(String, isThere: Bool)
    }

    private var socket: OwnedDescriptor?
    /// What it has said so far.
    private var bytes: [UInt8] = []
    private var header: FrameHeader?
    /// It has been told to go: what it still says does not count.
    private(set) var isLeaving = false
    /// When its time is over, for its hello or for its leave.
    private(set) var deadline: MonotonicClock.Instant

    init(_ socket: consuming OwnedDescriptor, until deadline: MonotonicClock.Instant) {
        self.socket = consume socket
        self.deadline = deadline
    }

    var number: Int32 { socket?.number ?? -1 }

    /// Hands its connection over.
    func takeSocket() -> OwnedDescriptor? { socket.take() }

    /// Reads what it has said.
    func listen() -> Word {
        do throws(TransportError) {
            while try receive() {
                if let hello = try takeHello() { return .hello(hello) }
            }
            return .nothing
        } catch {
            if case .stream = error { return .noSource("\(error)", isThere: true) }
            return .noSource("\(error)", isThere: false)
        }
    }

    /// How much of the header is due, or of the body behind it.
    private var missing: Int { FrameHeader.byteCount + Int(header?.bodyBytes ?? 0) - bytes.count }

    private func takeHello() throws(TransportError) -> FirstFrame? {
        do throws(StreamError) {
            if header == nil, missing == 0 {
                let header = try FrameHeader(decoding: bytes, expecting: 0)
                // The body of anything else is not even read.
                guard header.kind == .hello else { throw .unexpected(header.kind, during: "before the hello") }
                self.header = header
            }
            guard let header, missing == 0 else { return nil }
            let (fixed, body) = (Array(bytes[..<FrameHeader.byteCount]), Array(bytes[FrameHeader.byteCount...]))
            try FrameHeader.verify(header: fixed, body: body, frame: 0)
            return FirstFrame(header: header, headerBytes: fixed, body: body)
        } catch {
            throw .stream(error)
        }
    }

    /// - Returns: whether something came.
    private func receive() throws(TransportError) -> Bool {
        var piece = [UInt8](repeating: 0, count: min(missing, 64 << 10))
        while true {
            let count = unsafe recv(number, &piece, piece.count, Int32(aerostat_msg_dontwait))
            if count > 0 {
                bytes += piece[..<count]
                return true
            }
            if count == 0 { throw bytes.isEmpty ? .closed : .cut(missing: missing) }
            switch Errno(rawValue: errno) {
            case .interrupted: continue
            case .resourceTemporarilyUnavailable: return false
            case let code: throw .system(operation: "receive from the other side", reason: "\(code)")
            }
        }
    }

    // MARK: Its leave

    /// Tells it why it is not wanted. From now on it is only waited for that it has read that: closing with unread bytes would reset the
    /// connection and lose the reason.
    func sendAway(_ reason: String, until deadline: MonotonicClock.Instant) {
        let frame = Frame.abort(reason).encode(sequence: 0)
        // A connection that nothing was sent on takes a frame whole.
        _ = unsafe send(number, frame, frame.count, Int32(aerostat_msg_dontwait | aerostat_msg_nosignal))
        _ = shutdown(number, Int32(SHUT_WR))
        (isLeaving, self.deadline) = (true, deadline)
    }

    /// Throws away what it still says.
    /// - Returns: whether it has gone.
    func hasLeft() -> Bool {
        var rest = [UInt8](repeating: 0, count: 64 << 10)
        // Bounded: somebody who sends faster than this is looked at again.
        for _ in 0..<16 {
            let count = unsafe recv(number, &rest, rest.count, Int32(aerostat_msg_dontwait))
            if count < 0, errno == EAGAIN { return false }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return true }
        }
        return false
    }
}
