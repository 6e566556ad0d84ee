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

    public let path: String

    /// More clients than anybody has; each may hold a thread for as long as its command takes.
    static let maximumClients = 8
    /// How long `close` waits for commands that are under way and for clients that do not read.
    static let closingGrace = TimeAmount.seconds(2)

    private let handler: any CommandHandler
    private let logger: Logger
    private let executor = BlockingExecutor(threadCount: maximumClients + 1)
    private let state = Mutex(State())
    /// Owns the path, and takes it away when it ends; NIO serves a duplicate.
    private let socket: Mutex<ListeningSocket?>

    private struct State {
        /// Where clients arrive; `nil` until it is there, and when the server ends.
        var listener: (any Channel)?
        var clients: [ObjectIdentifier: Client] = [:]
        var isClosing = false
    }

    private struct Client {
        let session: ControlSession
        let task: Task<Void, Never>
    }

    /// Binds the path and begins to serve. A socket that nobody listens on any more is replaced; one that is alive is refused.
    public static func listen(path: String, handler: any CommandHandler, logger: Logger) async throws(ControlError) -> ControlServer {
        let socket = try bind(path)
        let number = socket.number
        let server = ControlServer(path: path, handler: handler, logger: logger, socket: socket)
        do { try await server.serve(number) } catch {
            throw .cannotListen(path, reason: ControlError.reason(error))
        }
        return server
    }

    private init(path: String, handler: any CommandHandler, logger: Logger, socket: consuming ListeningSocket) {
        self.path = path
        self.handler = handler
        self.logger = logger
        self.socket = Mutex(socket)
    }

    /// Tells every client that has negotiated. Never waits: a client that does not read is dropped in the end.
    /// - Parameter ago: when it happened, where nobody could be told at once.
    public func broadcast(_ event: Event, ago: Duration = .zero) {
        let message = event.message(at: Event.now() - ago / .seconds(1))
        for client in state.withLock({ Array($0.clients.values) }) { client.session.notify(message) }
    }

    /// Stops serving: commands that are under way are answered, what was sent leaves, and the path is removed. Not to be awaited by a
    /// command, which would wait for itself until the grace of two seconds ends.
    public func close() async {
        let (listener, clients) = state.withLock { state in
            state.isClosing = true
            return (state.listener.take(), Array(state.clients.values))
        }
        guard let listener else { return }
        // Before the listener goes: a client that looks for the path afterwards finds none, instead of one that is dead.
        socket.withLock { $0 = nil }
        listener.close(promise: nil)
        for client in clients { client.task.cancel() }
        let channels = clients.map(\.session.channel)
        let forced = channels.map { channel in
            channel.eventLoop.scheduleTask(in: Self.closingGrace) { channel.close(promise: nil) }
        }
        for channel in channels { try? await channel.closeFuture.get() }
        for task in forced { task.cancel() }
        executor.shutdown()
    }

    private static func bind(_ path: String) throws(ControlError) -> ListeningSocket {
        try ControlError.check(path: path)
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

    private func serve(_ number: CInt) async throws {
        let descriptor = try retryingInterrupts("duplicate a descriptor") { fcntl(number, F_DUPFD_CLOEXEC, 0) }
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            // So that a client that sends its commands and closes its side still hears the replies.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        OutputLimit { [logger = self.logger] in logger.warning("dropped a control client that does not read") }
                    )
                    self.welcome(try Connection(wrappingChannelSynchronously: channel))
                }
            }
            .withBoundSocket(descriptor).get()
        state.withLock { $0.listener = listener }
    }

    /// Gives a connection a task of its own, from its first moment: one that waited for somebody to take it, when the server ends, would trap.
    private func welcome(_ connection: Connection) {
        let session = ControlSession(channel: connection.channel, handler: handler, logger: logger)
        let id = ObjectIdentifier(session)
        state.withLock { state in
            guard !state.isClosing else {
                Task { try? await connection.executeThenClose { _, _ in } }
                return
            }
            guard state.clients.count < Self.maximumClients else {
                logger.warning("refused a control client: \(Self.maximumClients) are connected")
                Task(executorPreference: executor) {
                    await session.refuse(connection, "\(Self.maximumClients) clients are connected already")
                }
                return
            }
            let task = Task(executorPreference: executor) {
                await session.serve(connection)
                self.state.withLock { _ = $0.clients.removeValue(forKey: id) }
            }
            state.clients[id] = Client(session: session, task: task)
        }
    }
}
