import AerostatHost
import AerostatQMP
import Logging
import NIOCore
import Synchronization

/// One client's connection: reads requests, carries them out one after the other, and writes the replies.
final class ControlSession: Sendable {
    let channel: any Channel
    private let commands: CommandSet
    private let logger: Logger
    /// Set by `qmp_capabilities`. Events are sent from then on.
    private let isNegotiated = Atomic(false)
    private let quiet = Mutex<MonotonicClock.Instant?>(MonotonicClock.now())

    init(channel: any Channel, commands: CommandSet, logger: Logger) {
        self.channel = channel
        self.commands = commands
        self.logger = logger
    }

    /// Since when the client has asked nothing; `nil` while one of its commands is under way.
    var quietSince: MonotonicClock.Instant? { quiet.withLock { $0 } }

    /// Serves until the client leaves or the task is cancelled. A command under way is completed and answered first.
    /// - Parameter mayDoEverything: asked before each command that may take long.
    func serve(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>, mayDoEverything: @Sendable () -> Bool) async {
        do {
            try await connection.executeThenClose { inbound, _ in
                try await self.send(Greeting.message)
                do {
                    try await self.answer(inbound, mayDoEverything)
                } catch is CancellationError {
                }
                // Closing drops data that is not written yet, so everything sent so far is flushed first.
                try await self.channel.writeAndFlush(ByteBuffer())
            }
        } catch {
            // A client may leave at any moment. That is no error.
            logger.debug("a control client's connection ended", metadata: ["error": "\(error)"])
        }
    }

    /// Tells a client that there are too many.
    func refuse(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>, _ reason: String) async {
        try? await connection.executeThenClose { _, _ in
            try await self.send(Self.refusal(QMPError(reason), id: nil))
        }
    }

    /// Sends an event, if the client has negotiated. Never waits.
    func notify(_ message: JSONValue) {
        guard isNegotiated.load(ordering: .acquiring) else { return }
        channel.writeAndFlush(Self.line(message), promise: nil)
    }

    /// Tells a client why its connection ends. Never waits.
    func tell(_ reason: String) { channel.writeAndFlush(Self.line(Self.refusal(QMPError(reason), id: nil)), promise: nil) }

    private func answer(_ inbound: NIOAsyncChannelInboundStream<ByteBuffer>, _ mayDoEverything: () -> Bool) async throws {
        var stream = JSONStream(limits: .request)
        for try await buffer in inbound {
            for byte in buffer.readableBytesView {
                switch stream.feed(byte) {
                case nil: continue
                case .document(let message):
                    quiet.withLock { $0 = nil }
                    try await send(reply(to: message, mayDoEverything))
                    quiet.withLock { $0 = MonotonicClock.now() }
                case .garbage(let error):
                    try await send(Self.refusal(QMPError("JSON parse error, \(error)"), id: nil))
                    if case .tooLong = error { return }
                }
                if Task.isCancelled { return }
            }
        }
        // The client may have closed only its own side.
        if stream.isInside { try await send(Self.refusal(QMPError("JSON parse error, the input ends inside a document"), id: nil)) }
    }

    private func reply(to message: JSONValue, _ mayDoEverything: () -> Bool) -> JSONValue {
        let id = Envelope.id(of: message)
        do throws(QMPError) {
            var reply: [String: JSONValue] = ["return": try carryOut(try Envelope(message), mayDoEverything)]
            reply["id"] = id
            return .object(reply)
        } catch {
            return Self.refusal(error, id: id)
        }
    }

    private func carryOut(_ envelope: Envelope, _ mayDoEverything: () -> Bool) throws(QMPError) -> JSONValue {
        if !isNegotiated.load(ordering: .relaxed), envelope.name != CommandDeclaration.negotiate.name {
            throw QMPError(.commandNotFound, "Expecting capabilities negotiation with 'qmp_capabilities'")
        }
        if envelope.name == CommandDeclaration.negotiate.name {
            try negotiate(try Negotiation(reading: envelope.arguments))
            return [:]
        }
        let command = try commands.prepare(envelope.name, envelope.arguments)
        guard command.isBrief || mayDoEverything() else {
            throw QMPError(
                "\(envelope.name) is for the first \(ClientPlaces.fullCount) clients of the control socket, and this is a later one: it "
                    + "may ask, stop, cont, cancel and quit. Close one of the others, then try again"
            )
        }
        return try command.perform()
    }

    private func negotiate(_ wish: Negotiation) throws(QMPError) {
        if isNegotiated.load(ordering: .relaxed) {
            throw QMPError(.commandNotFound, "Capabilities negotiation is already complete, command ignored")
        }
        try wish.accept()
        // Released before the reply is queued, so that no event is lost after the reply.
        isNegotiated.store(true, ordering: .releasing)
    }

    /// Returns when the kernel has taken the message. A client that does not read makes only itself wait.
    private func send(_ message: JSONValue) async throws {
        try await channel.writeAndFlush(Self.line(message))
    }

    private static func refusal(_ error: QMPError, id: JSONValue?) -> JSONValue {
        var reply: [String: JSONValue] = ["error": error.json]
        reply["id"] = id
        return .object(reply)
    }

    /// QMP ends each message with CR LF.
    private static func line(_ message: JSONValue) -> ByteBuffer { ByteBuffer(string: message.text() + "\r\n") }
}
