import AerostatHost
import AerostatMigration
import TestSupport

/// A link between source and destination that parses the frames, and fails where a test wants it to.
final class Proxy: Guests.Endable {
    enum Direction: Sendable { case toDestination, toSource }

    /// A frame that is about to pass.
    struct Passing: Sendable {
        let direction: Direction
        let kind: FrameKind
        let round: Int
        /// How many frames of this kind have passed in this direction before.
        let earlier: Int
        let headerAndBodyBytes: Int
        let payloadBytes: Int
    }

    enum Action: Sendable {
        case pass
        /// Nothing passes in this direction until `release`.
        case hold
        /// This many bytes of the frame pass, then the link breaks.
        case cut(after: Int)
    }

    /// The URI that the source migrates to.
    let uri: String
    private let listener: Listener
    private let link = Monitor(State())

    private struct State {
        var ends: Ends?
        var isHolding = false
        var isReleased = false
        var isOver = false
    }

    private final class Listener: Sendable {
        let socket: ListeningSocket
        let doorbell: Doorbell

        init() throws {
            socket = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0))
            doorbell = try Doorbell()
        }
    }

    private final class Ends: Sendable {
        let source: FrameSocket
        let destination: FrameSocket

        init(source: consuming FrameSocket, destination: consuming FrameSocket) {
            self.source = source
            self.destination = destination
        }

        func hangUp() {
            source.hangUp()
            destination.hangUp()
        }
    }

    /// - Parameter rule: called for each frame, on the link's threads.
    init(to destination: String, _ rule: @escaping @Sendable (Passing) -> Action) throws {
        let listener = try Listener()
        self.listener = listener
        uri = "\(listener.socket.address)"
        _ = try HostThread(name: "proxy") { [self] in
            guard let source = try? listener.socket.accept(unlessRung: listener.doorbell),
                let onward = try? FrameSocket(connectingTo: destination)
            else { return }
            let ends = Ends(source: FrameSocket(source), destination: onward)
            link.update { state in
                state.ends = ends
                if state.isOver { ends.hangUp() }
            }
            let back = try? HostThread(name: "proxy back") { [self] in pump(.toSource, ends, rule) }
            pump(.toDestination, ends, rule)
            back?.join()
        }
    }

    /// Whether a frame is being held back.
    var isHolding: Bool { link.withLock { $0.isHolding } }

    /// Lets held frames pass.
    func release() { link.update { $0.isReleased = true } }

    /// Cuts the link.
    func end() {
        listener.doorbell.ring()
        link.update { state in
            state.isOver = true
            state.ends?.hangUp()
        }
    }

    private func pump(_ direction: Direction, _ ends: Ends, _ rule: (Passing) -> Action) {
        var counts: [FrameKind: Int] = [:]
        while forwardFrame(direction, ends, &counts, rule) {}
        ends.hangUp()
    }

    /// - Returns: whether the link is still up.
    private func forwardFrame(_ direction: Direction, _ ends: Ends, _ counts: inout [FrameKind: Int], _ rule: (Passing) -> Action) -> Bool {
        let frame = direction == .toDestination ? ends.source.receiveFrame() : ends.destination.receiveFrame()
        guard let frame else { return false }
        let passing = Passing(
            direction: direction,
            kind: frame.kind,
            round: frame.round,
            earlier: counts[frame.kind, default: 0],
            headerAndBodyBytes: frame.bytes.count,
            payloadBytes: frame.payloadBytes
        )
        counts[frame.kind, default: 0] += 1
        var limit = Int.max
        switch rule(passing) {
        case .pass: break
        case .cut(let bytes): limit = bytes
        case .hold:
            link.update { $0.isHolding = true }
            _ = link.wait { $0.isReleased || $0.isOver ? () : nil }
            link.update { $0.isHolding = false }
        }
        func send(_ bytes: some Collection<UInt8>) -> Bool {
            direction == .toDestination ? ends.destination.send(bytes) : ends.source.send(bytes)
        }
        guard send(frame.bytes.prefix(limit)), limit > frame.bytes.count else { return false }
        var left = frame.payloadBytes
        var allowed = limit - frame.bytes.count
        while left > 0, allowed > 0 {
            let count = min(left, 64 << 10)
            let piece = direction == .toDestination ? ends.source.receive(count) : ends.destination.receive(count)
            guard let piece, send(piece.prefix(allowed)) else { return false }
            left -= count
            allowed -= count
        }
        return left == 0 && allowed > 0
    }
}
