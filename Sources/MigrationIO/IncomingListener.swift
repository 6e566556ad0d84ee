public import AerostatGuestMemory
public import AerostatHost
import AerostatMigration
public import Logging
import Synchronization
import SystemPackage

/// Waits for a migration at an address and receives it.
public struct IncomingListener: ~Copyable, Sendable {
    private let source: Source
    private let limits: MigrationLimits
    /// The address that it listens at, with the real port.
    public let uri: MigrationURI

    private enum Source: Sendable {
        case listening(Reception.Listener)
        case connected(Int32)
    }

    /// Binds immediately, so that the caller can announce the port.
    public init(_ uri: MigrationURI) throws(SocketError) { try self.init(uri, limits: MigrationLimits()) }

    /// As the public initialiser, with other limits; for tests of silent visitors.
    package init(_ uri: MigrationURI, limits: MigrationLimits) throws(SocketError) {
        self.limits = limits
        switch uri {
        case .socket(let address):
            let socket = try ListeningSocket(address)
            self.uri = .socket(socket.address)
            source = .listening(Reception.Listener(socket))
        case .descriptor(let number):
            guard isConnectedStreamSocket(number) else {
                throw .system(SystemError("receive a migration from descriptor \(number)", code: .notSocket))
            }
            noticeDeadPeer(of: number)
            self.uri = uri
            source = .connected(number)
        case .file(let path):
            let operation = "receive a migration from a file; a guest image is started with --restore"
            throw .system(SystemError(operation, place: path, code: .invalidArgument))
        }
    }

    /// Receives one migration. A connection that brings something else is logged and closed, and the wait continues. A connection that
    /// arrives during the migration is told that one is in progress.
    /// - Parameters:
    ///   - doorbell: ends the waiting; the result is then `nil`.
    ///   - startsGuest: false leaves the guest paused, whatever it did at the source.
    ///   - arrived: hears of the guest before the source does.
    public borrowing func receive(
        shape: RegionTable?,
        doorbell: Doorbell,
        logger: Logger = Logger(label: "aerostat"),
        startsGuest: Bool,
        arrived: @escaping DestinationMigration.Arrival,
        makeGuest: @escaping DestinationMigration.GuestFactory
    ) throws(SocketError) -> DestinationMigration.Outcome? {
        let limits = limits
        func receive(_ socket: consuming OwnedDescriptor, _ first: FirstFrame? = nil) -> DestinationMigration.Outcome {
            let link: SocketTransport
            do throws(TransportError) { link = try SocketTransport(socket, doorbell: doorbell, first: first) } catch {
                return .failed("\(error)")
            }
            return DestinationMigration(
                link,
                shape: shape,
                doorbell: doorbell,
                limits: limits,
                startsGuest: startsGuest,
                arrived: arrived,
                makeGuest: makeGuest
            ).run()
        }
        switch source {
        case .connected(let number): return receive(OwnedDescriptor(adopting: number))
        case .listening(let listener):
            let desk = Desk(Reception(listener, at: uri, limits: limits, logger: logger), logger)
            while let caller = try desk.awaitHello(unlessRung: doorbell) {
                let porter = desk.startTurningAway()
                let outcome = receive(caller.socket, caller.first)
                porter?.end()
                guard case .notAMigration(let reason) = outcome else { return outcome }
                logger.warning("ignored a connection that brought no migration: \(reason); still waiting at \(uri)")
            }
            return nil
        }
    }
}

/// The reception. The thread that waits for a migration uses it, and during a migration a separate thread does.
private final class Desk: Sendable {
    private let reception: Mutex<Reception>
    private let logger: Logger

    init(_ reception: sending Reception, _ logger: Logger) {
        self.reception = Mutex(reception)
        self.logger = logger
    }

    func awaitHello(unlessRung doorbell: Doorbell) throws(SocketError) -> Reception.Caller? {
        try reception.withLock { (reception) throws(SocketError) in try reception.awaitHello(unlessRung: doorbell) }
    }

    /// The thread that turns connections away.
    struct Porter {
        fileprivate let doorbell: Doorbell
        fileprivate let thread: HostThread

        func end() {
            doorbell.ring()
            thread.join()
        }
    }

    /// - Returns: `nil` if no thread can be started. Other connections then wait until the migration is over.
    func startTurningAway() -> Porter? {
        do throws(SystemError) {
            let doorbell = try Doorbell()
            let thread = try HostThread(name: "reception") { [self] in
                do throws(SocketError) {
                    try reception.withLock { (reception) throws(SocketError) in try reception.turnAway(unlessRung: doorbell) }
                } catch {
                    logger.warning("\(error)")
                }
            }
            return Porter(doorbell: doorbell, thread: thread)
        } catch {
            logger.warning("\(error); other connections wait until this migration is over")
            return nil
        }
    }
}
