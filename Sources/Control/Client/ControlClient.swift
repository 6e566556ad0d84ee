import AerostatHost
public import AerostatMigration
public import AerostatQMP
import Glibc
import NIOCore
import NIOPosix
import SystemPackage

/// A QMP client of a control socket.
public final class ControlClient: Sendable {
    public let path: String
    /// The server's events. The stream ends with the connection.
    public let events: AsyncStream<Event>

    private let channel: any Channel
    private let inbox: Inbox

    /// Connects and negotiates.
    /// - Parameter timeout: for each of the two steps, in seconds.
    public static func connect(to path: String, timeout: Int = 5) async throws(ControlError) -> ControlClient {
        let socket = try await connectedSocket(path, timeout: .seconds(timeout))
        let inbox = Inbox(path: path)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: ControlLoop.group)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(InboxHandler(inbox))
                    }
                }
                .withConnectedSocket(socket).get()
        } catch {
            throw .cannotConnect(path, reason: ControlError.reason(error))
        }
        let client = ControlClient(path: path, channel: channel, inbox: inbox)
        let deadline = channel.eventLoop.scheduleTask(in: .seconds(Int64(timeout))) {
            inbox.end(.timedOut("the control socket \(path)", seconds: timeout))
            channel.close(promise: nil)
        }
        defer { deadline.cancel() }
        do throws(ControlError) {
            try await inbox.greeting()
            _ = try await client.execute(CommandDeclaration.negotiate.name)
            return client
        } catch {
            client.close()
            throw error
        }
    }

    private init(path: String, channel: any Channel, inbox: Inbox) {
        self.path = path
        self.channel = channel
        self.inbox = inbox
        events = inbox.events
    }

    deinit { close() }

    /// Returns a connected socket for NIO, because NIO itself refuses the longest paths that the kernel takes.
    private static func connectedSocket(_ path: String, timeout: Duration) async throws(ControlError) -> CInt {
        try ControlError.check(path: path)
        let deadline = MonotonicClock.now() + timeout
        while true {
            do throws(SocketError) {
                return try connectSocket(to: .unix(path: path)).release()
            } catch {
                guard case .system(let cause) = error else { throw .cannotConnect(path, reason: "\(error)") }
                switch cause.code.rawValue {
                // The server's queue of waiting clients is full, and the kernel has no way to report when it has room again.
                case EAGAIN where MonotonicClock.now() < deadline && !Task.isCancelled: try? await Task.sleep(for: .milliseconds(10))
                case EAGAIN: throw .timedOut("the control socket \(path)", seconds: Int(timeout.components.seconds))
                case ENOENT, ECONNREFUSED: throw .noListener(path)
                default: throw .cannotConnect(path, reason: ControlError.reason(cause))
                }
            }
        }
    }

    /// Sends a command and waits for its answer, however long the command takes.
    public func execute(_ command: String, _ arguments: [String: JSONValue] = [:]) async throws(ControlError) -> JSONValue {
        var message: [String: JSONValue] = ["execute": .string(command)]
        if !arguments.isEmpty { message["arguments"] = .object(arguments) }
        switch await inbox.reply(to: message, on: channel) {
        case .success(let answer): return answer
        case .failure(.refused(_, let error)): throw .refused(command: command, error)
        case .failure(let error): throw error
        }
    }

    /// The same for a command with its declaration.
    @discardableResult
    public func execute<Arguments>(
        _ command: CommandDeclaration<Arguments>,
        _ arguments: Arguments
    ) async throws(ControlError) -> JSONValue {
        try await execute(command.name, arguments.arguments)
    }

    /// The same for a command without arguments.
    @discardableResult
    public func execute(_ command: CommandDeclaration<NoArguments>) async throws(ControlError) -> JSONValue {
        try await execute(command.name)
    }

    /// Closes the connection. Commands that wait for an answer fail.
    public func close() { channel.close(promise: nil) }

    /// Whether the guest runs.
    public func runState() async throws(ControlError) -> RunState {
        guard let state = RunState(json: try await execute(.queryStatus)) else {
            throw .unexpectedAnswer(command: CommandDeclaration.queryStatus.name)
        }
        return state
    }

    /// The migration's state and figures.
    public func migrationReport() async throws(ControlError) -> MigrationReport {
        let answer = try await execute(.queryMigration)
        do { return try MigrationReport(json: answer) } catch { throw .unexpectedAnswer(command: CommandDeclaration.queryMigration.name) }
    }

    /// Has the guest check its own memory.
    public func checkGuest() async throws(ControlError) -> SelfCheck {
        let answer = try await execute(.checkGuest)
        do { return try answer.decode(SelfCheck.self) } catch { throw .unexpectedAnswer(command: CommandDeclaration.checkGuest.name) }
    }

    /// How the guest's balloon stands.
    public func balloon() async throws(ControlError) -> BalloonInfo {
        let answer = try await execute(.queryBalloon)
        do { return try answer.decode(BalloonInfo.self) } catch { throw .unexpectedAnswer(command: "query-balloon") }
    }

    /// How many stretches of 2 MiB are partly in the guest's balloon.
    public func splitHugePages() async throws(ControlError) -> Int {
        let answer = try await execute(.getProperty, PropertyArguments(path: BalloonObject.name, property: BalloonObject.splitHugePages))
        guard let count = answer.integer else { throw .unexpectedAnswer(command: "qom-get") }
        return count
    }

    /// What the guest last told of its memory.
    public func guestStatistics() async throws(ControlError) -> GuestStatisticsReply {
        let answer = try await execute(.getProperty, PropertyArguments(path: BalloonObject.name, property: BalloonObject.statistics))
        guard let reply = GuestStatisticsReply(json: answer) else { throw .unexpectedAnswer(command: "qom-get") }
        return reply
    }

    /// Every how many seconds the guest is asked for statistics; 0 if it is not.
    public func statisticsPeriod() async throws(ControlError) -> Int {
        let answer = try await execute(.getProperty, PropertyArguments(path: BalloonObject.name, property: BalloonObject.pollingInterval))
        guard let seconds = answer.integer else { throw .unexpectedAnswer(command: "qom-get") }
        return seconds
    }

    /// Has the guest asked for statistics every so many seconds; 0 ends it.
    public func setStatisticsPeriod(_ seconds: Int) async throws(ControlError) {
        let arguments = NewPropertyArguments(path: BalloonObject.name, property: BalloonObject.pollingInterval, value: .integer(seconds))
        try await execute(.setProperty, arguments)
    }
}
