import AerostatHost
import AerostatMigration
import CLiburing
import Glibc
import SystemPackage

/// The first frame that a visitor sent, complete and with a correct checksum.
struct FirstFrame: Sendable {
    let header: FrameHeader
    let headerBytes: [UInt8]
    let body: [UInt8]

    var byteCount: Int { headerBytes.count + body.count }
}

/// A connection that has not shown yet what it brings, or that is being sent away. Nothing here blocks.
final class Visitor {
    /// The result of listening to a visitor.
    enum Word {
        /// Nothing yet, or only a part.
        case nothing
        case hello(FirstFrame)
        /// It is not a source.
        case noSource(String, isThere: Bool)
    }

    private var socket: OwnedDescriptor?
    /// The bytes received so far.
    private var bytes: [UInt8] = []
    private var header: FrameHeader?
    /// It has been told to go. What it still sends is ignored.
    private(set) var isLeaving = false
    /// The end of its time to say hello, or to leave.
    private(set) var deadline: MonotonicClock.Instant

    init(_ socket: consuming OwnedDescriptor, until deadline: MonotonicClock.Instant) {
        self.socket = consume socket
        self.deadline = deadline
    }

    var number: Int32 { socket?.number ?? -1 }

    /// Hands the connection over.
    func takeSocket() -> OwnedDescriptor? { socket.take() }

    /// Reads what it has sent.
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

    /// How many bytes are missing from the header, or from the body after it.
    private var missing: Int { FrameHeader.byteCount + Int(header?.bodyBytes ?? 0) - bytes.count }

    private func takeHello() throws(TransportError) -> FirstFrame? {
        do throws(StreamError) {
            if header == nil, missing == 0 {
                let header = try FrameHeader(decoding: bytes, expecting: 0)
                // If it is any other frame, its body is not even read.
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

    /// - Returns: whether something arrived.
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

    // MARK: Sending it away

    /// Tells the visitor why it is not wanted. From now on we only wait until it has read that: closing with unread bytes would reset the
    /// connection and lose the reason.
    func sendAway(_ reason: String, until deadline: MonotonicClock.Instant) {
        let frame = Frame.abort(reason).encode(sequence: 0)
        // Nothing was sent on this connection before, so it accepts the whole frame.
        _ = unsafe send(number, frame, frame.count, Int32(aerostat_msg_dontwait | aerostat_msg_nosignal))
        _ = shutdown(number, Int32(SHUT_WR))
        (isLeaving, self.deadline) = (true, deadline)
    }

    /// Discards what it still sends.
    /// - Returns: whether the visitor has disconnected.
    func hasLeft() -> Bool {
        var rest = [UInt8](repeating: 0, count: 64 << 10)
        // Bounded. A visitor that sends faster than this is checked again later.
        for _ in 0..<16 {
            let count = unsafe recv(number, &rest, rest.count, Int32(aerostat_msg_dontwait))
            if count < 0, errno == EAGAIN { return false }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return true }
        }
        return false
    }
}
