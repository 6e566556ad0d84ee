import Control
import Dispatch
import Glibc
import Host
import Migration

/// Asks for the report five times a second, and at each event, until the migration is over.
func followMigration(on client: ControlClient, _ body: (MigrationReport) -> Void) async throws(ControlError) -> MigrationReport {
    let (ticks, ticker) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let clock = Task {
        while !Task.isCancelled {
            ticker.yield()
            try? await Task.sleep(for: .milliseconds(200))
        }
    }
    let listener = Task { for await _ in client.events { ticker.yield() } }
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

/// The interrupt key cancels the migration; pressed again, it ends this command and leaves the migration to itself.
final class InterruptCanceller {
    private let source: any DispatchSourceSignal

    init(_ client: ControlClient) {
        Terminal.setInterruptIgnored(true)
        source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
        source.setEventHandler {
            Terminal.setInterruptIgnored(false)
            writeToStandardError("\ncancelling; interrupt again to leave the migration to itself\n")
            Task { _ = try? await client.execute("migrate_cancel") }
        }
        source.resume()
    }

    func end() {
        source.cancel()
        Terminal.setInterruptIgnored(false)
    }
}
