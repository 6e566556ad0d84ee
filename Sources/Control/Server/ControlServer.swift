import FoundationEssentials
import Glibc
import Host
public import Logging
import NIOCore
import NIOPosix
import Synchronization
import SystemPackage

/// Serves a control socket: QMP over a unix socket that only its owner may open, to several clients at once.
///
/// ```
///             event loop                     threads of the server
///  client --> bytes, backpressure  --------> ControlSession: parse ----> CommandHandler.handle, which may block
///  client <-- OutputLimit <----------------- reply, event <------------- broadcast
/// ```
///
/// Nothing here needs a thread of the default executor, so that a process which keeps those busy can still be spoken to.
public final class ControlServer: Sendable {
    typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>
    typealias Listener = NIOAsyncChannel<Connection, Never>

    public let path: String

    /// More clients than anybody has; each may hold a thread for as long as its command takes.
    static let maximumClients = 8
    /// How long `close` waits for commands that are under way and for clients that do not read.
    static let closingGrace = TimeAmount.seconds(2)

    private let handler: any CommandHandler
    private let logger: Logger
    private let executor = BlockingExecutor(threadCount: maximumClients + 1)
    private let sessions = Mutex<[ObjectIdentifier: ControlSession]>([:])
    /// Owns the path, and takes it away when it ends; NIO serves a duplicate.
    private let socket: Mutex<ListeningSocket?>
    private let acceptor = Mutex<Task<Void, Never>?>(nil)

    /// Binds the path and begins to serve. A socket that nobody listens on any more is replaced; one that is alive is refused.
    public static func listen(path: String, handler: any CommandHandler, logger: Logger) async throws(ControlError) -> ControlServer {
        let socket = try bind(path)
        let listener: Listener
        do {
            let descriptor = try retryingInterrupts("duplicate a descriptor") { fcntl(socket.number, F_DUPFD_CLOEXEC, 0) }
            listener = try await serve(descriptor, logger)
        } catch {
            throw .cannotListen(path, reason: ControlError.reason(error))
        }
        return ControlServer(path: path, handler: handler, logger: logger, socket: socket, listener: listener)
    }

    private init(path: String, handler: any CommandHandler, logger: Logger, socket: consuming ListeningSocket, listener: Listener) {
        self.path = path
        self.handler = handler
        self.logger = logger
        self.socket = Mutex(socket)
        acceptor.withLock { $0 = Task(executorPreference: executor) { await self.accept(on: listener) } }
    }

    /// Tells every client that has negotiated. Never waits: a client that does not read is dropped in the end.
    public func broadcast(_ event: Event) {
        let message = event.message(at: Event.now())
        for session in sessions.withLock({ Array($0.values) }) { session.notify(message) }
    }

    /// Stops serving: commands that are under way are answered, what was sent leaves, and the path is removed. Not to be awaited by a
    /// command, which would wait for itself until the grace of two seconds ends.
    public func close() async {
        guard let task = acceptor.withLock({ $0.take() }) else { return }
        // Before the listener goes: a client that looks for the path afterwards finds none, instead of one that is dead.
        socket.withLock { $0 = nil }
        task.cancel()
        let channels = sessions.withLock { $0.values.map(\.channel) }
        let forced = channels.map { channel in
            channel.eventLoop.scheduleTask(in: Self.closingGrace) { channel.close(promise: nil) }
        }
        for channel in channels { try? await channel.closeFuture.get() }
        for task in forced { task.cancel() }
        executor.shutdown()
    }

    private static func bind(_ path: String) throws(ControlError) -> ListeningSocket {
        do throws(SocketError) {
            return try ListeningSocket.onlyForOwner(.unix(path: path))
        } catch {
            switch error {
            case .pathTooLong: throw .pathTooLong(path)
            case .system(let error) where error.code.rawValue == EADDRINUSE && isSocket(path): throw .inUse(path)
            case .system(let error): throw .cannotListen(path, reason: ControlError.reason(error))
            case .unknownHost, .timedOut: throw .cannotListen(path, reason: "\(error)")
            }
        }
    }

    private static func isSocket(_ path: String) -> Bool {
        (try? FileManager.default.attributesOfItem(atPath: path))?[.type] as? FileAttributeType == .typeSocket
    }

    private static func serve(_ descriptor: CInt, _ logger: Logger) async throws -> Listener {
        try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            // So that a client that sends its commands and closes its side still hears the replies.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(descriptor) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        OutputLimit { logger.warning("dropped a control client that does not read") }
                    )
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
    }

    private func accept(on listener: Listener) async {
        do {
            try await listener.executeThenClose { connections in
                try await withThrowingDiscardingTaskGroup { group in
                    for try await connection in connections {
                        group.addTask { await self.serve(connection) }
                    }
                }
            }
        } catch is CancellationError {
        } catch {
            logger.error("the control socket accepts no more clients", metadata: ["path": "\(path)", "error": "\(error)"])
        }
    }

    private func serve(_ connection: Connection) async {
        let session = ControlSession(channel: connection.channel, handler: handler, logger: logger)
        let id = ObjectIdentifier(session)
        let isAdmitted = sessions.withLock { sessions in
            if sessions.count >= Self.maximumClients { return false }
            sessions[id] = session
            return true
        }
        guard isAdmitted else {
            logger.warning("refused a control client: \(Self.maximumClients) are connected")
            return await session.refuse(connection, "\(Self.maximumClients) clients are connected already")
        }
        await session.serve(connection)
        sessions.withLock { _ = $0.removeValue(forKey: id) }
    }
}
