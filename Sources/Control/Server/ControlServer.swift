import AerostatHost
public import AerostatQMP
import FoundationEssentials
import Glibc
public import Logging
import NIOCore
import NIOPosix
import Synchronization
import SystemPackage

/// Serves a control socket: QMP over a unix socket that only its owner may open, to several clients at once (`ClientPlaces` sets the
/// limits).
///
/// ```
///             event loop                     threads of the server
///  client --> bytes, backpressure  --------> ControlSession: parse ----> CommandSet, which may block
///  client <-- OutputLimit <----------------- reply, event <------------- broadcast
/// ```
///
/// Nothing here needs a thread of the default executor. So a process that keeps those busy still answers.
public final class ControlServer: Sendable {
    typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    public let path: String

    /// How long a closing connection waits for its command under way, and for a client that does not read.
    static let closingGrace = TimeAmount.seconds(2)

    private let commands: CommandSet
    private let logger: Logger
    /// One for each command that may take long, and two for all commands that are done at once.
    private let executor = BlockingExecutor(threadCount: ClientPlaces.fullCount + 2)
    private let state = Mutex(State())
    /// Owns the path, and removes it at the end. NIO serves a duplicate of the descriptor.
    private let socket: Mutex<ListeningSocket?>

    private struct State {
        /// Accepts clients; `nil` until the server listens, and when it closes.
        var listener: (any Channel)?
        var places = ClientPlaces()
        var isClosing = false
    }

    /// Binds the path and begins to serve. Replaces a socket that nobody listens on any more; refuses one that is in use.
    /// - Parameter commands: what clients may ask of the machine; the protocol's own commands come with the server.
    public static func listen(path: String, commands: CommandSet, logger: Logger) async throws(ControlError) -> ControlServer {
        let socket = try bind(path)
        let number = socket.number
        let server = ControlServer(path: path, commands: commands.servingProtocol, logger: logger, socket: socket)
        do { try await server.serve(number) } catch {
            throw .cannotListen(path, reason: ControlError.reason(error))
        }
        return server
    }

    private init(path: String, commands: CommandSet, logger: Logger, socket: consuming ListeningSocket) {
        self.path = path
        self.commands = commands
        self.logger = logger
        self.socket = Mutex(socket)
    }

    /// Sends an event to every client that has negotiated. Never waits: a client that does not read is dropped in the end.
    /// - Parameter ago: how long ago it happened, if it could not be sent at once.
    public func broadcast(_ event: Event, ago: Duration = .zero) {
        let message = event.message(at: Event.now() - ago / .seconds(1))
        for client in state.withLock({ $0.places.clients }) { client.session.notify(message) }
    }

    /// Stops serving. Commands under way are answered, replies are sent, and the path is removed. A command must not await this: it would
    /// wait for itself until the grace of two seconds ends.
    public func close() async {
        let (listener, clients) = state.withLock { state in
            state.isClosing = true
            return (state.listener.take(), state.places.clients)
        }
        guard let listener else { return }
        // Remove the path before the listener closes: a client that comes later then finds no socket, instead of a dead one.
        socket.withLock { $0 = nil }
        listener.close(promise: nil)
        for client in clients { client.task.cancel() }
        let channels = clients.map(\.session.channel)
        let forced = channels.map(Self.forceClosing)
        for channel in channels { try? await channel.closeFuture.get() }
        for task in forced { task.cancel() }
        executor.shutdown()
    }

    /// Closes a channel when the grace is over.
    private static func forceClosing(_ channel: any Channel) -> Scheduled<Void> {
        channel.eventLoop.scheduleTask(in: closingGrace) { channel.close(promise: nil) }
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
        let listener = try await ServerBootstrap(group: ControlLoop.group)
            // A client that sends its commands and closes its side must still get the replies.
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

    /// Starts a connection's task at once. A connection that still waits for its task when the server ends would trap.
    private func welcome(_ connection: Connection) {
        let session = ControlSession(channel: connection.channel, commands: commands, logger: logger)
        state.withLock { state in
            guard !state.isClosing else {
                Task { try? await connection.executeThenClose { _, _ in } }
                return
            }
            switch state.places.admission() {
            case .free: break
            case .inPlaceOf(let quiet): sendAway(quiet, &state.places)
            case .refused:
                logger.warning("refused a control client: too many are connected")
                Task(executorPreference: executor) {
                    await session.refuse(connection, "too many clients are connected to the control socket; try again")
                }
                return
            }
            let task = Task(executorPreference: executor) {
                await session.serve(connection) { self.state.withLock { $0.places.mayDoEverything(session) } }
                self.state.withLock { $0.places.remove(session) }
            }
            state.places.add(ClientPlaces.Client(session: session, task: task))
        }
    }

    private func sendAway(_ quiet: ControlSession, _ places: inout ClientPlaces) {
        guard let client = places.dismiss(quiet) else { return }
        let count = ClientPlaces.fullCount + ClientPlaces.briefCount
        logger.info("a control client that was quiet has made room for another: \(count) were connected")
        quiet.tell("this connection has made room for another: \(count) clients were connected, and it had been quiet the longest")
        client.task.cancel()
        // Do not wait for a client that does not read.
        _ = Self.forceClosing(quiet.channel)
    }
}
