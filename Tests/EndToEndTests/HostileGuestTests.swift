import AerostatMigration
import AerostatQMP
import Testing

extension EndToEnd {
    /// Guests whose balloon driver answers hints wrongly, or not at all. They lose only the benefit of hints.
    @Suite struct HostileGuest {
        enum Driver: String, CaseIterable, Sendable {
            case wrongID = "wrong-id"
            case outsideRAM = "outside-ram"
            case unaligned
            case descriptorLoop = "descriptor-loop"
            case badIndices = "bad-indices"
            case silent
        }

        @Test(arguments: Driver.allCases)
        func `the guest migrates undamaged, and the report counts the rejected hints`(_ driver: Driver) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn", "--balloon-driver", driver.rawValue)
                let destination = try await guests.waiting()
                let migrate = try await source.migrate(to: try destination.incoming, "--verify")
                #expect(migrate.code == 0 && migrate.text.contains("no difference"), "\(migrate)\n\(source.log)\n\(destination.log)")
                let hints = try await source.report().freePageHints
                #expect(hints.commands >= 1)
                switch driver {
                case .wrongID: #expect(hints.staleBlocks > 0 && hints.skippedPages == 0 && hints.reportedPages == 0, "\(hints)")
                case .outsideRAM, .unaligned: #expect(hints.invalidBlocks > 0, "\(hints)")
                case .descriptorLoop, .badIndices: #expect(hints.skippedPages == 0, "\(hints)")
                case .silent:
                    #expect(hints.reportedPages == 0 && hints.skippedPages == 0, "\(hints)")
                    // Bounded: the source does not wait longer for a driver that has not begun by then.
                    #expect(hints.headStart >= 190 && hints.headStart < 1000, "\(hints)")
                }
                #expect(try await destination.state() == .running)
                try await destination.expectClean()
                try await source.expectMemoryStandsStill(guests)
            }
        }

        @Test(arguments: Driver.allCases)
        func `the guest stays undamaged when its migration is cancelled`(_ driver: Driver) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn", "--balloon-driver", driver.rawValue)
                let destination = try await guests.waiting()
                async let migration = source.migrate(to: try destination.incoming, "--bandwidth-limit", "40M")
                try await eventually("the first round sends") { try await source.report().ram.normal > 0 }
                #expect(try await source.command("cancel").code == 0)
                try await migration.expectFailure("was cancelled", "the guest is still running")
                try await source.expectGuestIsStillHere(.cancelled)
                try await source.expectMigrates(guests)
            }
        }
    }
}
