import AerostatQMP
import NIOCore
import Synchronization

/// Delivers what arrives on a client's connection to those who wait for it.
final class Inbox: Sendable {
    typealias Answer = Result<JSONValue, ControlError>

    let events: AsyncStream<Event>

    private struct State {
        var greeting: Answer?
        var greetingWaiter: CheckedContinuation<Answer, Never>?
        var waiters: [Int: CheckedContinuation<Answer, Never>] = [:]
        var nextID = 1
        /// Why the connection ended; `nil` while it is open.
        var end: ControlError?
    }

    private let path: String
    private let state = Mutex(State())
    private let continuation: AsyncStream<Event>.Continuation

    /// How many events wait for a reader. Beyond that the oldest are dropped.
    static let maximumEvents = 10_000

    init(path: String) {
        self.path = path
        (events, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(Self.maximumEvents))
    }

    /// Waits for the server's first message.
    func greeting() async throws(ControlError) {
        let answer = await withCheckedContinuation { waiter in
            let known = state.withLock { state -> Answer? in
                if let answer = state.greeting ?? state.end.map(Answer.failure) { return answer }
                state.greetingWaiter = waiter
                return nil
            }
            if let known { waiter.resume(returning: known) }
        }
        _ = try answer.get()
    }

    /// Sends a request under a fresh id and waits for the reply that carries it.
    func reply(to message: [String: JSONValue], on channel: any Channel) async -> Answer {
        await withCheckedContinuation { waiter in
            let (id, end) = state.withLock { state in
                let id = state.nextID
                state.nextID += 1
                if state.end == nil { state.waiters[id] = waiter }
                return (id, state.end)
            }
            if let end { return waiter.resume(returning: .failure(end)) }
            let text = JSONValue.object(message.merging(["id": .integer(id)]) { $1 }).text() + "\n"
            // A write that fails ends the connection, which ends the wait too.
            channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
        }
    }

    /// Takes one message from the server.
    func receive(_ message: JSONValue) {
        if message["event"] != nil {
            if let event = Event(message: message) { continuation.yield(event) }
        } else if message["QMP"] != nil {
            let waiter = state.withLock { state in
                state.greeting = .success(message)
                return state.greetingWaiter.take()
            }
            waiter?.resume(returning: .success(message))
        } else if let id = message["id"]?.integer {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(returning: Self.answer(message))
        } else if let error = message["error"] {
            // An error without an id answers no request: it ends the connection.
            end(.sentAway(path, reason: error["desc"]?.string ?? "an error without a description"))
        }
    }

    /// The connection has ended: tells everybody who waits why. Only the first cause counts.
    func end(_ error: ControlError) {
        let waiters = state.withLock { state in
            if state.end == nil { state.end = error }
            defer { state.waiters = [:] }
            return Array(state.waiters.values) + (state.greetingWaiter.take().map { [$0] } ?? [])
        }
        for waiter in waiters { waiter.resume(returning: .failure(error)) }
        continuation.finish()
    }

    func connectionLost() { end(.connectionLost(path)) }
    func garbage(_ error: JSONError) { end(.notQMP(path, reason: "\(error)")) }

    private static func answer(_ message: JSONValue) -> Answer {
        if let answer = message["return"] { return .success(answer) }
        let error = message["error"]
        let kind = (error?["class"]?.string).flatMap(QMPError.Class.init) ?? .generic
        return .failure(.refused(command: "", QMPError(kind, error?["desc"]?.string ?? "no reason given")))
    }
}

/// Parses what arrives.
final class InboxHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let inbox: Inbox
    private var stream = JSONStream(limits: .reply)

    init(_ inbox: Inbox) { self.inbox = inbox }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        for byte in unwrapInboundIn(data).readableBytesView {
            switch stream.feed(byte) {
            case nil: continue
            case .document(let message): inbox.receive(message)
            case .garbage(let error):
                inbox.garbage(error)
                return context.close(promise: nil)
            }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        inbox.connectionLost()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
