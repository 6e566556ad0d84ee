import AerostatHost
import AerostatMigration
import Glibc

/// A link between two processes that fails on command. It counts the bytes, and can be cut or stalled at any byte.
///
/// It knows where frames begin, and nothing else about their content.
final class StressLink: Sendable {
    enum Direction: String, Sendable { case toDestination = "to the destination", toSource = "to the source" }

    enum Action: Sendable {
        case pass, cut
        /// Nothing more passes in this direction.
        case halfCut
        /// A bit of the next byte is inverted.
        case garble(bit: UInt8)
        /// The frame that begins here is lost.
        case loseFrame
        case stall(Duration)
    }

    /// Something that happens when a byte is about to pass.
    struct Trigger: Sendable {
        let moment: StressInjury.Moment
        let action: @Sendable () -> Action
    }

    /// Where the source connects.
    let uri: String
    private let listener: Listener
    private let state = Monitor(State())

    private struct State {
        var ends: Ends?
        var isOver = false
        var bytes = 0
        var reachedDestination = 0
        var threads = 1
    }

    private final class Listener: Sendable {
        let socket: ListeningSocket
        let doorbell: Doorbell

        init(_ address: SocketAddress) throws {
            socket = try ListeningSocket(address)
            doorbell = try Doorbell()
        }
    }

    private final class Ends: Sendable {
        let source: OwnedDescriptor
        let destination: OwnedDescriptor

        init(_ source: consuming OwnedDescriptor, _ destination: consuming OwnedDescriptor) {
            self.source = source
            self.destination = destination
        }

        func hangUp() {
            shutdown(source.number, Int32(SHUT_RDWR))
            shutdown(destination.number, Int32(SHUT_RDWR))
        }
    }

    /// - Parameters:
    ///   - path: the unix socket to listen on; `nil` listens on TCP.
    ///   - destination: `tcp:127.0.0.1:PORT` or `unix:PATH`.
    init(path: String?, to destination: String, _ triggers: [Trigger]) throws {
        let listener = try Listener(path.map { .unix(path: $0) } ?? .tcp(host: "127.0.0.1", port: 0))
        self.listener = listener
        uri = "\(listener.socket.address)"
        let onward = Self.address(destination)
        _ = try HostThread(name: "link") { [self] in
            defer { state.update { $0.threads -= 1 } }
            guard let source = try? listener.socket.accept(unlessRung: listener.doorbell) else { return }
            // If the destination is dead, closing the link tells the source.
            guard let destination = try? connectSocket(to: onward) else { return }
            let ends = Ends(source, destination)
            let isOver = state.update { state in
                (state.ends, state.threads) = (ends, state.threads + 1)
                return state.isOver
            }
            if isOver { ends.hangUp() }
            let back = try? HostThread(name: "link back") { [self] in
                pump(.toSource, from: ends.destination.number, to: ends.source.number, ends, triggers)
                state.update { $0.threads -= 1 }
            }
            pump(.toDestination, from: ends.source.number, to: ends.destination.number, ends, triggers)
            back?.join()
        }
    }

    private static func address(_ uri: String) -> SocketAddress {
        if uri.hasPrefix("unix:") { return .unix(path: String(uri.dropFirst(5))) }
        guard let port = uri.split(separator: ":").last.flatMap({ UInt16($0) }) else { preconditionFailure("no port in \(uri)") }
        return .tcp(host: "127.0.0.1", port: port)
    }

    /// How many bytes have passed, both ways together.
    var bytes: Int { state.withLock { $0.bytes } }
    var reachedDestination: Int { state.withLock { $0.reachedDestination } }

    /// Closes the link, and waits for its threads.
    /// - Returns: whether they ended in time.
    func end() -> Bool {
        listener.doorbell.ring()
        let ends = state.update { state in
            state.isOver = true
            return state.ends
        }
        ends?.hangUp()
        return state.wait(until: MonotonicClock.now() + .seconds(15)) { $0.threads == 0 ? true : nil } ?? false
    }

    private func pump(_ direction: Direction, from source: Int32, to target: Int32, _ ends: Ends, _ triggers: [Trigger]) {
        var stream = StressStream(direction, triggers)
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        var garbledBit: UInt8?
        while true {
            let count = unsafe recv(source, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            stream.add(buffer[..<count])
            while let step = stream.next() {
                switch step {
                case .lost: break
                case .bytes(var bytes):
                    if let bit = garbledBit.take() { bytes[bytes.startIndex] ^= 1 << bit }
                    guard send(bytes, to: target) else { return ends.hangUp() }
                    state.update { state in
                        state.bytes += bytes.count
                        if direction == .toDestination { state.reachedDestination += bytes.count }
                    }
                case .trigger(let trigger):
                    switch trigger.action() {
                    case .pass: break
                    case .cut: return ends.hangUp()
                    case .halfCut:
                        shutdown(source, Int32(SHUT_RD))
                        shutdown(target, Int32(SHUT_WR))
                        return
                    case .garble(let bit): garbledBit = bit
                    case .loseFrame: stream.loseFrame()
                    case .stall(let time): _ = state.wait(until: MonotonicClock.now() + time) { $0.isOver ? true : nil }
                    }
                }
            }
        }
        _ = send(stream.rest, to: target)
        // The end of the stream is passed on too.
        shutdown(target, Int32(SHUT_WR))
    }

    private func send(_ bytes: ArraySlice<UInt8>, to target: Int32) -> Bool {
        var left = bytes
        while !left.isEmpty {
            let count = unsafe left.withUnsafeBytes { unsafe Glibc.send(target, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { return false }
            left = left.dropFirst(count)
        }
        return true
    }
}

/// One direction of a link. It is split at the frames and bytes where triggers are due.
struct StressStream {
    enum Step {
        case bytes(ArraySlice<UInt8>)
        /// Bytes that are not passed on.
        case lost
        case trigger(StressLink.Trigger)
    }

    private let direction: StressLink.Direction
    /// Bytes not passed on yet, and how many came before them.
    private var pending: ArraySlice<UInt8> = []
    private var position = 0
    /// Where the next frame begins.
    private var frameStart = 0
    /// Bytes before this position are lost.
    private var lossEnd = 0
    /// Triggers whose position is known, in descending order; and those that wait for their frame.
    private var armed: [(position: Int, trigger: StressLink.Trigger)] = []
    private var waiting: [StressLink.Trigger] = []

    init(_ direction: StressLink.Direction, _ triggers: [StressLink.Trigger]) {
        self.direction = direction
        for trigger in triggers {
            switch trigger.moment {
            case .bytes(let count, direction): arm(trigger, at: count)
            case .frame(_, direction, _): waiting.append(trigger)
            default: break
            }
        }
    }

    /// Bytes that came and were not passed on yet: an incomplete frame header.
    var rest: ArraySlice<UInt8> { pending }

    /// Loses the rest of the current frame.
    mutating func loseFrame() { lossEnd = frameStart }

    mutating func add(_ bytes: ArraySlice<UInt8>) { pending = pending.isEmpty ? bytes : ArraySlice(Array(pending) + bytes) }

    /// - Returns: `nil` if more bytes are needed first.
    mutating func next() -> Step? {
        // Also checked after the last byte that came: a trigger may be due after a message that nothing follows.
        if let due = takeDue() { return .trigger(due) }
        if pending.isEmpty { return nil }
        if position == frameStart {
            guard pending.count >= FrameHeader.byteCount else { return nil }
            beginFrame()
            if let due = takeDue() { return .trigger(due) }
        }
        let end = min(frameStart, armed.last?.position ?? .max)
        let piece = pending.prefix(end - position)
        pending = pending.dropFirst(piece.count)
        position += piece.count
        return position <= lossEnd ? .lost : .bytes(piece)
    }

    private mutating func takeDue() -> StressLink.Trigger? {
        guard let due = armed.last, due.position <= position else { return nil }
        armed.removeLast()
        return due.trigger
    }

    private mutating func arm(_ trigger: StressLink.Trigger, at position: Int) {
        armed.append((position, trigger))
        armed.sort { $0.position > $1.position }
    }

    /// Reads the header's fields as StreamFormat.md defines them: kind at 4, body length at 16, payload length at 24.
    private mutating func beginFrame() {
        func integer(_ offset: Int, _ bytes: Int) -> Int {
            (0..<bytes).reversed().reduce(0) { $0 << 8 | Int(pending[pending.startIndex + offset + $1]) }
        }
        let length = FrameHeader.byteCount + integer(16, 4) + integer(24, 4)
        let kind = FrameKind(rawValue: UInt16(integer(4, 2)))
        waiting.removeAll { trigger in
            guard case .frame(kind, _, let bytes) = trigger.moment else { return false }
            armed.append((position + min(bytes, length), trigger))
            return true
        }
        armed.sort { $0.position > $1.position }
        frameStart = position + length
    }
}
