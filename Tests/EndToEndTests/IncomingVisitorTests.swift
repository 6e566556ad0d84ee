import AerostatHost
import AerostatMigration
import Foundation
import Testing

extension EndToEnd {
    /// Other connections to a process that waits for a migration.
    @Suite struct Visitors {
        /// A connected visitor.
        private final class Visitor: Sendable {
            let socket: FrameSocket
            init(_ socket: consuming FrameSocket) { self.socket = socket }
        }

        @Test func `silent visitors do not delay a migration`() async throws {
            try await withGuests { guests in
                let destination = try await guests.waiting()
                let uri = try destination.incoming
                let visitors = try (0..<3).map { _ in Visitor(try FrameSocket(connectingTo: uri)) }
                let source = try await guests.run("--memory", "64MiB", "--workload", "idle")
                let start = MonotonicClock.now()
                let migrate = try await source.migrate(to: uri)
                #expect(migrate.code == 0, "\(migrate)\n\(destination.log)")
                #expect(start.duration(to: MonotonicClock.now()) < .seconds(8))
                try await destination.expectClean()
                for visitor in visitors { visitor.socket.hangUp() }
            }
        }

        @Test func `a second source is told at once that a migration is under way, and the first one succeeds`() async throws {
            try await withGuests { guests in
                let destination = try await guests.waiting()
                let uri = try destination.incoming
                let first = try await guests.run("--memory", "64MiB", "--workload", "idle")
                let second = try await guests.run("--memory", "64MiB", "--workload", "idle")
                async let migration = first.migrate(to: uri, "--bandwidth-limit", "80M", "--no-hints")
                try await eventually("the first migration moves memory") { try await first.report().ram.transferred > 1_000_000 }
                let start = MonotonicClock.now()
                let refused = try await second.migrate(to: uri)
                #expect(start.duration(to: MonotonicClock.now()) < .seconds(8))
                refused.expectFailure("a migration is under way there already", "the guest is still running at the source")
                try await second.expectGuestIsStillHere()
                let ended = try await migration
                #expect(ended.code == 0, "\(ended)")
                try await destination.expectClean()
            }
        }
    }
}
