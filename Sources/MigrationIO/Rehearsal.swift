import AerostatGuestMemory
import AerostatHost
package import AerostatMigration

/// Migrates an unused guest from this process into this process, by an ordinary migration.
///
/// Code takes several times as long when it runs for the first time: its pages are touched, symbols are bound, type tables are filled.
/// During a migration that would lengthen the guest's pause, or delay the source's start. A process that has rehearsed has already paid
/// these costs. Nothing depends on the rehearsal.
/// - Parameters:
///   - guest: paused.
///   - makeGuest: makes the guest at the destination, which is paused too.
/// - Throws: why it failed. Neither side waits longer than two seconds for the other.
package func rehearseMigration(of guest: any Guest, makeGuest: @escaping DestinationMigration.GuestFactory) throws {
    var limits = MigrationLimits()
    (limits.greeting, limits.stall, limits.silence) = (.seconds(2), .seconds(2), .seconds(2))
    (limits.ready, limits.running, limits.farewell) = (.seconds(2), .seconds(2), .milliseconds(100))
    let owner = SourceMigration.Owner(
        statusChanged: { _ in },
        roundBegan: { _ in },
        isGuestRunning: { false },
        handOver: { false }
    )
    let migration = try SourceMigration(guest: guest, parameters: MigrationParameters(), owner: owner, limits: limits)
    let doorbell = try Doorbell()
    let (near, far) = try connectedSockets()
    let link: SocketTransport
    do {
        link = try SocketTransport(OwnedDescriptor(adopting: far), doorbell: doorbell)
        try migration.start { (doorbell) throws(TransportError) in
            try SocketTransport(OwnedDescriptor(adopting: near), doorbell: doorbell)
        }
    } catch {
        _ = OwnedDescriptor(adopting: near)
        throw error
    }
    _ = DestinationMigration(link, shape: nil, doorbell: doorbell, limits: limits, startsGuest: false, makeGuest: makeGuest).run()
    let outcome = migration.wait()
    guard outcome == .completed else { throw GuestError(migration.report.errorDescription ?? "\(outcome)") }
}
