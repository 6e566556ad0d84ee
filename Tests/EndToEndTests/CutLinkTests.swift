import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// A link that breaks in the middle of a frame.
    @Suite struct CutLink {
        struct Cut: CustomTestStringConvertible, Sendable {
            let kind: FrameKind
            var direction = Proxy.Direction.toDestination
            /// How many bytes of the frame still pass. From `pages` on, they count from the start of the pages, behind header and body.
            let bytes: Int
            var pages = false

            var testDescription: String { "\(kind) \(direction), \(bytes) bytes\(pages ? " of pages" : "")" }

            func action(_ frame: Proxy.Passing) -> Proxy.Action {
                guard frame.kind == kind, frame.direction == direction, !pages || frame.payloadBytes > bytes else { return .pass }
                return .cut(after: pages ? frame.headerAndBodyBytes + bytes : bytes)
            }
        }

        static let cuts: [Cut] = [
            Cut(kind: .hello, bytes: 0),
            Cut(kind: .hello, bytes: 17),
            Cut(kind: .hello, direction: .toSource, bytes: 39),
            Cut(kind: .hello, direction: .toSource, bytes: 40),
            Cut(kind: .roundBegin, bytes: 1),
            Cut(kind: .runs, bytes: 20),
            Cut(kind: .runs, bytes: 41),
            Cut(kind: .runs, bytes: 1, pages: true),
            Cut(kind: .runs, bytes: 100_001, pages: true),
            Cut(kind: .roundEnd, bytes: 40),
            Cut(kind: .deviceState, bytes: 45),
            Cut(kind: .digests, bytes: 1000),
            Cut(kind: .switchover, bytes: 39),
            Cut(kind: .switchover, bytes: 43),
            Cut(kind: .ready, direction: .toSource, bytes: 0),
            Cut(kind: .ready, direction: .toSource, bytes: 71),
        ]

        @Test(arguments: cuts)
        func `before commit: the guest keeps running at the source, and the destination ends`(_ cut: Cut) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting("--memory", "64MiB")
                let proxy = guests.keep(try Proxy(to: try destination.incoming) { cut.action($0) })
                let migrate = try await source.migrate(to: proxy.uri, "--verify")
                migrate.expectFailure("the migration failed after", "the guest is still running at the source")
                try await source.expectGuestIsStillHere()
                if cut.kind == .hello, cut.direction == .toDestination {
                    // No migration had begun there.
                    try await eventually("the destination says what came") { destination.log.contains("still waiting") }
                    #expect(try await source.migrate(to: try destination.incoming, "--verify").code == 0)
                    try await destination.expectClean()
                } else {
                    try await destination.expectGuestDidNotCome()
                    try await source.expectMigrates(guests)
                }
            }
        }

        @Test func `commit is lost on the way: exit 3, the guest is paused, and only --force runs it`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting()
                let proxy = guests.keep(try Proxy(to: try destination.incoming) { $0.kind == .commit ? .cut(after: 20) : .pass })
                let migrate = try await source.migrate(to: proxy.uri)
                try await source.expectOutcomeUnknown(migrate, guests)
                try await destination.expectGuestDidNotCome()

                let refused = try await source.command("resume")
                refused.expectFailure("the destination may be running this guest", "force")
                #expect(try await source.state() == .paused)
                try await source.expectMigrationIsRefused()
                let forced = try await source.command("resume", "--force")
                #expect(forced.code == 0, "\(forced)")
                #expect(try await source.state() == .running)
                try await source.expectClean()
                try await source.expectMigrates(guests)
            }
        }

        @Test func `the running message is lost: exit 3, one side runs the guest, the other is paused`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting()
                let proxy = guests.keep(try Proxy(to: try destination.incoming) { $0.kind == .running ? .cut(after: 0) : .pass })
                let migrate = try await source.migrate(to: proxy.uri, "--verify", "--json")
                try await source.expectOutcomeUnknown(migrate, guests)
                #expect(migrate.output.contains(#""status": "outcome-unknown""#), "\(migrate)")
                try await eventually("the destination runs the guest") { try await destination.state() == .running }
                try await destination.expectClean()

                // Cancelling and pausing change nothing.
                _ = try await source.command("cancel")
                _ = try await source.command("pause")
                #expect(try await source.state() == .paused)
                #expect(try await source.command("resume").code == 1)
                let quit = try await source.command("quit")
                #expect(quit.code == 0, "\(quit)")
                #expect(try await source.exitCode() == 0)
                try await destination.expectClean()
            }
        }

        @Test func `the destination is killed after commit: exit 3`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting()
                let proxy = guests.keep(
                    try Proxy(to: try destination.incoming) { frame in
                        if frame.kind == .commit { destination.kill() }
                        return .pass
                    }
                )
                let migrate = try await source.migrate(to: proxy.uri)
                try await source.expectOutcomeUnknown(migrate, guests)
                #expect(try await source.command("resume", "--force").code == 0)
                try await source.expectClean()
            }
        }
    }
}

extension GuestChild {
    /// Commit was sent, and nobody answered.
    func expectOutcomeUnknown(_ migrate: Ended, _ guests: Guests, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        migrate.expectFailure(code: 3, "the outcome is unknown", "commit was sent", "paused here", sourceLocation: sourceLocation)
        #expect(log.contains("may run at"), "\(log)", sourceLocation: sourceLocation)
        #expect(try await state() == .paused, sourceLocation: sourceLocation)
        #expect(try await report().status == .unknown, sourceLocation: sourceLocation)
        try await expectMemoryStandsStill(guests, sourceLocation: sourceLocation)
    }

    func expectMigrationIsRefused(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let refused = try await migrate(to: "tcp:127.0.0.1:1")
        refused.expectFailure("resume it with force first", sourceLocation: sourceLocation)
    }
}
