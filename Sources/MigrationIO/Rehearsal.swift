import Host
public import Logging
public import Migration

/// Moves a guest that nobody waits for from this process into this process, by a migration like any other.
///
/// What a program does for the first time takes it several times as long: pages of its code are touched, symbols bound, tables of types filled.
/// A guest that moves stands still meanwhile, or its source waits to begin. Who has rehearsed a migration has that behind it. Nothing depends
/// on it: what does not work in a rehearsal will not work later either.
/// - Parameters:
///   - guest: paused.
///   - makeGuest: makes the one that it becomes, which is paused too.
/// - Returns: how it ended.
public func rehearseMigration(
    of guest: any Guest,
    logger: Logger,
    makeGuest: @escaping DestinationMigration.GuestFactory
) throws -> SourceSession.Outcome {
    let migration = try SourceMigration(
        guest: guest,
        parameters: MigrationParameters(),
        observer: SourceMigration.Observer(
            statusChanged: { _ in },
            roundBegan: { _ in },
            isGuestRunning: { false },
            takeOver: { false }
        )
    )
    let doorbell = try Doorbell()
    let (near, far) = try connectedSockets()
    // Each takes its socket over, and closes it.
    let listener = try IncomingListener(.descriptor(far))
    try migration.start(to: .descriptor(near))
    _ = try listener.receive(
        shape: nil,
        doorbell: doorbell,
        logger: logger,
        startsGuest: false,
        arrived: { _, _ in },
        makeGuest: makeGuest
    )
    return migration.wait()
}
