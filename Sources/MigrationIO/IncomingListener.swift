public import GuestMemory
public import Host
public import Logging
import Migration
import SystemPackage

/// Waits for a migration at a place, and receives it.
public struct IncomingListener: ~Copyable, Sendable {
    private let source: Source
    /// Where it listens, with the real port.
    public let uri: MigrationURI

    private enum Source: ~Copyable, Sendable {
        case listening(ListeningSocket)
        case connected(Int32)
    }

    /// Binds at once, so that the caller can announce the port.
    public init(_ uri: MigrationURI) throws(SocketError) {
        switch uri {
        case .socket(let address):
            let socket = try ListeningSocket(address)
            self.uri = .socket(socket.address)
            source = .listening(socket)
        case .descriptor(let number):
            guard isConnectedStreamSocket(number) else {
                throw .system(SystemError("receive a migration from descriptor \(number)", code: .notSocket))
            }
            self.uri = uri
            source = .connected(number)
        case .file(let path):
            let operation = "receive a migration from a file; a guest image is started with --restore"
            throw .system(SystemError(operation, place: path, code: .invalidArgument))
        }
    }

    /// Receives one migration. A connection that brings something else is logged and closed, and the next one is awaited.
    /// - Parameters:
    ///   - doorbell: ends the waiting; the result is then `nil`.
    ///   - startsGuest: false leaves the guest paused, whatever it did at the source.
    ///   - arrived: hears of the guest before the source does.
    public borrowing func receive(
        shape: RegionTable?,
        doorbell: Doorbell,
        logger: Logger,
        startsGuest: Bool,
        arrived: @escaping DestinationMigration.Arrival,
        makeGuest: @escaping DestinationMigration.GuestFactory
    ) throws(SocketError) -> DestinationMigration.Outcome? {
        let migration = { (link: any Transport) -> DestinationMigration in
            DestinationMigration(link, shape: shape, doorbell: doorbell, startsGuest: startsGuest, arrived: arrived, makeGuest: makeGuest)
        }
        switch source {
        case .connected(let number):
            return receive(OwnedDescriptor(adopting: number), doorbell: doorbell, migration)
        case .listening(let socket):
            while let connection = try socket.accept(unlessRung: doorbell) {
                let outcome = receive(connection, doorbell: doorbell, migration)
                guard case .notAMigration(let reason) = outcome else { return outcome }
                logger.warning("ignored a connection that brought no migration: \(reason); still waiting at \(uri)")
            }
            return nil
        }
    }

    private borrowing func receive(
        _ connection: consuming OwnedDescriptor,
        doorbell: Doorbell,
        _ migration: (any Transport) -> DestinationMigration
    ) -> DestinationMigration.Outcome {
        let link: SocketTransport
        do throws(TransportError) { link = try SocketTransport(connection, doorbell: doorbell) } catch { return .failed("\(error)") }
        return migration(link).run()
    }
}
