import AerostatHost
import AerostatMigration
import Glibc

/// A frame on the link: its fixed part, parsed as far as tests need.
struct RawFrame {
    let kind: FrameKind
    let round: Int
    /// Header and body.
    let bytes: [UInt8]
    /// How many bytes of pages follow.
    let payloadBytes: Int
}

/// A connected, blocking socket, for peers that tests play themselves.
struct FrameSocket: ~Copyable, Sendable {
    private let socket: OwnedDescriptor

    init(_ socket: consuming OwnedDescriptor) { self.socket = socket }

    init(connectingTo uri: String) throws { socket = try connectSocket(to: address(uri)) }

    /// - Returns: whether the kernel took all of it.
    @discardableResult
    func send(_ bytes: some Collection<UInt8>) -> Bool {
        let bytes = Array(bytes)
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes[sent...].withUnsafeBytes {
                unsafe Glibc.send(socket.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }

    /// Exactly this many bytes; `nil` if the other side hung up before.
    func receive(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var received = 0
        while received < count {
            let more = unsafe bytes[received...].withUnsafeMutableBytes { unsafe recv(socket.number, $0.baseAddress, $0.count, 0) }
            if more <= 0 { return nil }
            received += more
        }
        return bytes
    }

    /// Header and body of the next frame; `nil` if the other side hung up, or what came is not a frame.
    func receiveFrame() -> RawFrame? {
        guard let header = receive(FrameHeader.byteCount) else { return nil }
        var reader = StreamReader(header)
        guard (try? reader.take("field", UInt32.self)) == FrameHeader.magic,
            let kind = (try? reader.take("field", UInt16.self)).flatMap(FrameKind.init(rawValue:)),
            (try? reader.take("field", UInt16.self)) != nil,
            let round = try? reader.take("field", UInt32.self),
            (try? reader.take("field", UInt32.self)) != nil,
            let bodyBytes = try? reader.take("field", UInt32.self),
            (try? reader.take("field", UInt32.self)) != nil,
            let payloadBytes = try? reader.take("field", UInt64.self),
            let body = receive(Int(bodyBytes))
        else { return nil }
        return RawFrame(kind: kind, round: Int(round), bytes: header + body, payloadBytes: Int(payloadBytes))
    }

    /// The next frame, decoded.
    func receiveDecodedFrame(pageCount: Int = 0) throws -> Frame? {
        guard let raw = receiveFrame() else { return nil }
        var reader = StreamReader(Array(raw.bytes[20..<24]))
        let header = try FrameHeader(decoding: Array(raw.bytes[..<FrameHeader.byteCount]), expecting: try reader.take("sequence"))
        return try Frame(header, body: Array(raw.bytes[FrameHeader.byteCount...]), pageCount: pageCount)
    }

    /// Closes the sending side. What was sent still arrives.
    func endSending() { shutdown(socket.number, Int32(SHUT_WR)) }

    /// Closes both directions, and wakes those who wait for them.
    func hangUp() { shutdown(socket.number, Int32(SHUT_RDWR)) }
}

/// The address of a `tcp:127.0.0.1:PORT` or `unix:PATH`.
func address(_ uri: String) -> SocketAddress {
    if uri.hasPrefix("unix:") { return .unix(path: String(uri.dropFirst(5))) }
    guard let port = uri.split(separator: ":").last.flatMap({ UInt16($0) }) else { preconditionFailure("no port in \(uri)") }
    return .tcp(host: "127.0.0.1", port: port)
}
