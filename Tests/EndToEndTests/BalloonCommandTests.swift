import AerostatControl
import AerostatQMP
import Testing

extension EndToEnd {
    /// `aerostat balloon` and `aerostat memory-stats`, as a person types them.
    @Suite struct BalloonCommands {
        @Test func `A guest shrinks to the size that was typed, and the command says so`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "64MiB")
                let before = try await guest.command("balloon")
                #expect(before.code == 0 && before.output.contains("64.0 MiB, as asked"), "\(before)")
                let shrunk = try await guest.command("balloon", "48M", "--wait", "--timeout", "60s")
                #expect(shrunk.code == 0 && shrunk.output.contains("48.0 MiB, as asked"), "\(shrunk)")
                #expect(try await guest.connect().balloon().ballooned == 16 << 20)
                let grown = try await guest.command("balloon", "1T", "--wait")
                #expect(grown.code == 0 && grown.output.contains("64.0 MiB, as asked"), "\(grown)")
                try await guest.expectClean()
            }
        }

        @Test func `A size that a guest cannot reach ends the wait with 1, and the command says why`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "64MiB", "--paused")
                let missed = try await guest.command("balloon", "32M", "--wait", "--timeout", "200ms")
                #expect(missed.code == 1 && missed.output.contains("did not reach 32.0 MiB in time"), "\(missed)")
                #expect(missed.output.contains("the guest does not run"), "\(missed)")
            }
        }

        @Test(arguments: [
            ["balloon", "0"], ["balloon", "--wait"], ["balloon", "1G", "--timeout", "1s"], ["memory-stats", "--period", "0.5s"],
        ])
        func `Options that make no sense together are refused before anything is asked`(_ words: [String]) async throws {
            let ended = try await Aerostat.run(Aerostat.path, words + ["--control", "/nonexistent"])
            #expect(ended.code == 64, "\(ended)")
        }

        @Test func `A guest tells its memory when it is asked, and is not asked any longer afterwards`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "64MiB")
                let text = try await guest.command("memory-stats")
                #expect(text.code == 0 && text.output.contains("available "), "\(text)")
                #expect(!text.output.contains("hugetlb_pgalloc"), "\(text)")
                #expect(try await guest.connect().statisticsPeriod() == 0)
                let json = try await guest.command("memory-stats", "--json")
                let document = try JSONParser.parse(json.output.utf8, limits: .reply)
                #expect(document["stats"]?["stat-total-memory"]?.integer.map { $0 > 0 && $0 <= 64 << 20 } == true, "\(json)")
            }
        }

        @Test func `A period stays until another one is set`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "64MiB")
                for (typed, seconds) in [("7s", 7), ("0s", 0)] {
                    let ended = try await guest.command("memory-stats", "--period", typed)
                    #expect(ended.code == 0, "\(ended)")
                    #expect(try await guest.connect().statisticsPeriod() == seconds)
                }
            }
        }
    }
}
