import AerostatControl
import AerostatHost
import AerostatMigration
import AerostatQMP
import CommandSupport

/// How often to ask for a migration's report. Each answer briefly takes processor time that the guest and the link need too.
struct FollowingPace {
    let interval: Duration
    /// Whether to ask at the beginning of each round too.
    let rounds: Bool

    static let watched = FollowingPace(interval: .milliseconds(200), rounds: true)
    /// For callers that need only the end. The end is an event, so polling is rare.
    static let unwatched = FollowingPace(interval: .seconds(2), rounds: false)
}

/// Waits for the end of a migration, and passes its report to `body` now and then. A new round is no reason to ask while the guest is
/// paused for the switch-over.
func followMigration(
    on client: ControlClient,
    at pace: FollowingPace,
    _ body: (MigrationReport) -> Void
) async throws(ControlError) -> MigrationReport {
    let (ticks, ticker) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let clock = Task {
        while !Task.isCancelled {
            try? await Task.sleep(for: pace.interval)
            ticker.yield()
        }
    }
    let listener = Task {
        var standsStill = false
        for await event in client.events {
            switch event {
            case .stop: standsStill = true
            case .resume: standsStill = false
            case .migrationPass where pace.rounds && !standsStill: ticker.yield()
            case .migration(let status) where status.isOver: ticker.yield()
            default: break
            }
        }
        // The next request says why the connection ended.
        ticker.yield()
    }
    defer {
        clock.cancel()
        listener.cancel()
        ticker.finish()
    }
    for await _ in ticks {
        let report = try await client.migrationReport()
        body(report)
        if report.status.isOver, report.status != .none { return report }
    }
    throw .connectionLost(client.path)
}
