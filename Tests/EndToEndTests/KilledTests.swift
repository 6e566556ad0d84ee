import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// SIGKILL of either side, at every stage before commit.
    @Suite struct Killed {
        /// A moment of a migration, recognised by the frame that passes.
        enum Stage: String, CaseIterable, CustomTestStringConvertible {
            case hello = "the source has said hello"
            case answer = "the destination has answered"
            case headStart = "the first round waits for hints"
            case firstRound = "the first round is half way"
            case laterRound = "the second round"
            case lastPages = "the guest is paused"
            case deviceState = "the device state travels"
            case digests = "memories are compared"
            case switchover = "the destination prepares"
            case ready = "the destination is about to say that it is ready"

            var testDescription: String { rawValue }

            func matches(_ frame: Proxy.Passing) -> Bool {
                switch self {
                case .hello: frame.kind == .hello && frame.direction == .toDestination
                case .answer: frame.kind == .hello && frame.direction == .toSource
                case .headStart: frame.kind == .roundBegin && frame.round == 1
                case .firstRound: frame.kind == .runs && frame.earlier == 8
                case .laterRound: frame.kind == .runs && frame.round == 2
                // Acknowledged rounds are over. With one round of precopy, this is the round during the pause.
                case .lastPages: frame.kind == .roundBegin && frame.round == 2
                case .deviceState: frame.kind == .deviceState
                case .digests: frame.kind == .digests
                case .switchover: frame.kind == .switchover
                case .ready: frame.kind == .ready
                }
            }

            /// A guest that does not answer hints makes the head start long enough to hit. One that writes makes later rounds.
            var guest: [String] {
                switch self {
                case .headStart: ["--balloon-driver", "silent"]
                case .laterRound: ["--workload", "churn"]
                default: []
                }
            }

            /// Rounds come to an end only if the link is not faster than the guest.
            var parameters: [String] {
                switch self {
                case .laterRound, .firstRound: ["--bandwidth-limit", "400M", "--downtime-limit", "1ms"]
                default: ["--verify"]
                }
            }
        }

        /// Brings a migration to the stage, kills one side there, and waits until the command ends.
        private func migrate(
            _ guests: Guests,
            killing side: @escaping @Sendable (_ source: GuestChild, _ destination: GuestChild) -> GuestChild,
            at stage: Stage
        ) async throws -> (source: GuestChild, destination: GuestChild, migrate: Ended) {
            let source = try await guests.start(["--memory", "64MiB"] + stage.guest)
            let destination = try await guests.waiting()
            let proxy = guests.keep(
                try Proxy(to: try destination.incoming) { frame in
                    guard stage.matches(frame) else { return .pass }
                    side(source, destination).kill()
                    // A frame that passes was sent before the kill.
                    return stage == .ready ? .cut(after: 0) : .pass
                }
            )
            return (source, destination, try await source.migrate(to: proxy.uri, arguments: stage.parameters))
        }

        @Test(arguments: Stage.allCases)
        func `the destination is killed: the guest keeps running at the source`(_ stage: Stage) async throws {
            try await withGuests { guests in
                let (source, destination, migrate) = try await migrate(guests, killing: { $1 }, at: stage)
                migrate.expectFailure("failed after", "the guest is still running at the source")
                try await source.expectGuestIsStillHere()
                #expect(try await destination.exitCode() == -SIGKILL)
                // Nothing remains of the failed migration.
                try await source.expectMigrates(guests)
            }
        }

        @Test(arguments: Stage.allCases)
        func `the source is killed: the destination ends and says that the guest is not here`(_ stage: Stage) async throws {
            try await withGuests { guests in
                let (source, destination, migrate) = try await migrate(guests, killing: { source, _ in source }, at: stage)
                migrate.expectFailure(code: 3, "was lost", "ask the destination")
                #expect(try await source.exitCode() == -SIGKILL)
                try await destination.expectGuestDidNotCome()
            }
        }
    }

    /// A person or a service manager asks a process to end during a migration.
    @Suite struct Terminated {
        @Test func `a destination that is asked to quit refuses the rest, and the guest stays at the source`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting()
                let proxy = guests.keep(
                    try Proxy(to: try destination.incoming) { frame in
                        if frame.kind == .runs, frame.earlier == 3 { destination.signal(SIGTERM) }
                        return .pass
                    }
                )
                let migrate = try await source.migrate(to: proxy.uri, "--bandwidth-limit", "200M")
                migrate.expectFailure("asked to quit", "the guest is still running at the source")
                try await source.expectGuestIsStillHere()
                _ = try await destination.exitCode()
            }
        }

        @Test func `a source that is asked to quit cancels first, and the destination is told why`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting()
                let proxy = guests.keep(
                    try Proxy(to: try destination.incoming) { frame in
                        if frame.kind == .runs, frame.earlier == 3 { source.signal(SIGTERM) }
                        return .pass
                    }
                )
                let migrate = try await source.migrate(to: proxy.uri, "--bandwidth-limit", "200M")
                // The command may ask for the outcome when the process is already gone.
                #expect([1, 3].contains(migrate.code), "\(migrate)")
                #expect(try await source.exitCode() == 0, "\(source.log)")
                try await destination.expectGuestDidNotCome("the source gave up", "cancelled")
            }
        }
    }
}
