import AerostatControl
import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// A person or the timeout ends a migration.
    @Suite struct Cancelling {
        @Test func `in round 1, while blocks are held: the guest gets them back and keeps running`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "128MiB")
                let destination = try await guests.waiting()
                let before = try await source.check()
                async let migration = source.migrate(to: try destination.incoming, "--bandwidth-limit", "40M")
                try await eventually("the first round sends") { try await source.report().ram.normal > 0 }
                #expect(try await source.check().pagesHeld > 0)
                let cancel = try await source.command("cancel")
                #expect(cancel.code == 0 && cancel.text.contains("the guest is still running"), "\(cancel)")
                let migrate = try await migration
                migrate.expectFailure("was cancelled", "the guest is still running at the source")
                try await source.expectGuestIsStillHere(.cancelled)
                let after = try await source.check()
                #expect(after.pagesFree == before.pagesFree && after.pagesFreeTopOrder == before.pagesFreeTopOrder)
                try await destination.expectGuestDidNotCome("the source gave up: cancelled")
                try await source.expectMigrates(guests)
            }
        }

        @Test(arguments: [FrameKind.deviceState, .switchover, .ready])
        func `during switch-over: the paused guest runs again at the source`(_ held: FrameKind) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting()
                let proxy = guests.keep(try Proxy(to: try destination.incoming) { $0.kind == held ? .hold : .pass })
                async let migration = source.migrate(to: proxy.uri)
                try await eventually("the switch-over is under way") { proxy.isHolding }
                try await eventually("the guest is paused") { try await source.state() == .finishMigrate }
                #expect(try await source.command("resume").code == 1, "the migration decides where the guest runs")
                let cancel = try await source.command("cancel")
                #expect(cancel.code == 0, "\(cancel)")
                try await migration.expectFailure("was cancelled", "the guest is still running at the source")
                proxy.release()
                try await source.expectGuestIsStillHere(.cancelled)
                try await destination.expectGuestDidNotCome("the source gave up: cancelled")
                try await source.expectMigrates(guests)
            }
        }

        @Test func `after commit: it is too late, and the guest moves`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting()
                let proxy = guests.keep(try Proxy(to: try destination.incoming) { $0.kind == .running ? .hold : .pass })
                async let migration = source.migrate(to: proxy.uri)
                try await eventually("the destination runs the guest") { proxy.isHolding }
                _ = try await source.connect().execute("migrate_cancel")
                #expect(try await source.state() == .finishMigrate)
                proxy.release()
                let migrate = try await migration
                #expect(migrate.code == 0, "\(migrate)")
                #expect(try await source.state() == .postMigrate)
                #expect(try await destination.state() == .running)
                try await destination.expectClean()
            }
        }

        @Test func `the interrupt key cancels`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "hog")
                let destination = try await guests.waiting()
                let uri = try destination.incoming
                async let migration = Aerostat.run(
                    "/usr/bin/timeout",
                    // In the foreground. Otherwise 'timeout' sends the signal twice, and the second one means "leave the migration to
                    // itself".
                    ["--foreground", "--signal=INT", "--preserve-status", "1", Aerostat.path, "migrate", "--control", source.control, uri]
                        + ["--bandwidth-limit", "40M"]
                )
                try await migration.expectFailure("cancelling", "was cancelled", "the guest is still running at the source")
                try await source.expectGuestIsStillHere(.cancelled)
                try await destination.expectGuestDidNotCome("the source gave up")
            }
        }

        @Test func `a guest that writes faster than the link, with --on-timeout cancel, stays`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--used", "50%", "--freed", "10%", "--workload", "hog")
                let destination = try await guests.waiting()
                let migrate = try await source.migrate(
                    to: try destination.incoming,
                    "--downtime-limit",
                    "1ms",
                    "--bandwidth-limit",
                    "400M",
                    "--timeout",
                    "2s",
                    "--on-timeout",
                    "cancel"
                )
                migrate.expectFailure("timeout", "the guest is still running at the source")
                #expect(try await source.report().totalTime >= 2000)
                try await source.expectGuestIsStillHere(.cancelled)
                try await destination.expectGuestDidNotCome("the source gave up", "timeout")
            }
        }

        @Test func `a guest that writes faster than the link, with --on-timeout pause, is paused and moves`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--used", "50%", "--freed", "10%", "--workload", "hog")
                let destination = try await guests.waiting()
                let migrate = try await source.migrate(
                    to: try destination.incoming,
                    "--downtime-limit",
                    "1ms",
                    "--bandwidth-limit",
                    "400M",
                    "--timeout",
                    "2s",
                    "--on-timeout",
                    "pause",
                    "--verify"
                )
                #expect(migrate.code == 0, "\(migrate)")
                let report = try await source.report()
                #expect(report.status == .completed && report.totalTime >= 2000 && report.verify?.status == .passed)
                #expect(report.rounds.last?.paused == true)
                #expect(try await destination.state() == .running)
                try await destination.expectClean()
                try await source.expectMemoryStandsStill(guests)
            }
        }
    }
}
