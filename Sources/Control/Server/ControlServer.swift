import FoundationEssentials
import Glibc
public import Logging
import NIOCore
import NIOPosix
import Synchronization

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
    private let identity: FileIdentity?
    private let acceptor = Mutex<Task<Void, Never>?>(nil)

    /// Binds the path and begins to serve. A socket that nobody listens on any more is replaced; one that is alive is refused.
    public static func listen(path: String, handler: any CommandHandler, logger: Logger) async throws(ControlError) -> ControlServer {
        guard path.utf8.count <= ControlError.maximumPathBytes else { throw .pathTooLong(path) }
        do {
            try await refuseLive(path)
            let listener = try await OwnerOnly.creatingFiles { try await bind(path, logger) }
            return ControlServer(path: path, handler: handler, logger: logger, listener: listener)
        } catch let error as ControlError {
            throw error
        } catch {
            throw .cannotListen(path, reason: ControlError.reason(error))
        }
    }

    private init(path: String, handler: any CommandHandler, logger: Logger, listener: Listener) {
        self.path = path
        self.handler = handler
        self.logger = logger
        identity = FileIdentity(path: path)
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
        if let identity, FileIdentity(path: path) == identity { try? FileManager.default.removeItem(atPath: path) }
        task.cancel()
        let channels = sessions.withLock { $0.values.map(\.channel) }
        for channel in channels {
            let force = channel.eventLoop.scheduleTask(in: Self.closingGrace) { channel.close(promise: nil) }
            try? await channel.closeFuture.get()
            force.cancel()
        }
        executor.shutdown()
    }

    /// Connecting tells a socket that is alive from one that was left behind.
    private static func refuseLive(_ path: String) async throws {
        do {
            let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connectTimeout(.seconds(2))
                .connect(unixDomainSocketPath: path).get()
            try? await channel.close()
        } catch {
            // Not there, left behind, or no socket at all, which the bind refuses.
            return
        }
        throw ControlError.inUse(path)
    }

    private static func bind(_ path: String, _ logger: Logger) async throws -> Listener {
        try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            // So that a client that sends its commands and closes its side still hears the replies.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true) { channel in
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

/// Files that are made meanwhile are their owner's only. A `chmod` afterwards would leave the socket open to others for a moment.
///
/// The mask is the process's: the first to come sets it, the last to go gives it back.
private enum OwnerOnly {
    private static let mask = Mutex<(users: Int, original: mode_t)>((0, 0))

    static func creatingFiles<Result: Sendable>(_ body: () async throws -> Result) async rethrows -> Result {
        mask.withLock { mask in
            if mask.users == 0 { mask.original = umask(0o177) }
            mask.users += 1
        }
        defer {
            mask.withLock { mask in
                mask.users -= 1
                if mask.users == 0 { _ = umask(mask.original) }
            }
        }
        return try await body()
    }
}

/// Which file a path names: so that only the socket that was bound is removed, not one that another process put there since.
private struct FileIdentity: Equatable, Sendable {
    let device: Int
    let inode: Int

    init?(path: String) {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
            let device = attributes[.systemNumber] as? Int, let inode = attributes[.systemFileNumber] as? Int
        else { return nil }
        self.device = device
        self.inode = inode
    }
}
