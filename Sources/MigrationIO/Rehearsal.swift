import AerostatGuestMemory
import AerostatHost
package import AerostatMigration

/// Moves a guest for which nobody waits from this process into this process, by a migration like any other.
///
/// What a program does for the first time takes it several times as long: pages of its code are touched, symbols bound, tables of types
/// filled. A guest that moves stands still meanwhile, or its source waits to begin. Who has rehearsed a migration has that behind it.
/// Nothing depends on it.
/// - Parameters:
///   - guest: paused.
///   - makeGuest: makes the one that it becomes, which is paused too.
/// - Throws: why it did not succeed. Neither side waits for the other for longer than two seconds.
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
