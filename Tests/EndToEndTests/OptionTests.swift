import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// What people type: defaults that adapt, and refusals that quote what was typed.
    @Suite struct Options {
        @Test(arguments: [
            (["--used", "60%"], 0.6, 1.0), (["--used", "95%"], 0.95, 1.0), (["--freed", "97%"], 0.03, 1.0), (["--freed", "0%"], 0.1, 0.1),
            (["--used", "60%", "--freed", "40%"], 0.6, 1.0), (["--used", "0%"], 0, 0.5), ([], 0.1, 0.6),
        ])
        func `the defaults of --used and --freed adapt to what was typed`(
            _ arguments: [String],
            _ used: Double,
            _ touched: Double
        ) async throws {
            try await withGuests { guests in
                let guest = try await guests.start(["--memory", "64MiB"] + arguments)
                let check = try await guest.check()
                let pages = 16384.0
                // The guest's own tables and rounding take a few pages.
                #expect(abs(Double(check.pagesUsed) / pages - used) < 0.05, "\(check)")
                try await guest.expectClean()
                let image = guests.path("image")
                #expect(try await guest.migrate(to: "file:" + image, "--no-hints").code == 0)
                let info = try await Aerostat.command("image", "info", "--json", image)
                let summary = try JSONParser.parse(info.output.utf8, limits: .reply)
                let absent = try #require(summary["absent-bytes"]?.integer)
                #expect(abs(1 - Double(absent) / (pages * 4096) - touched) < 0.1, "\(info)")
            }
        }

        @Test(arguments: [
            (["--memory", "100000001"], ["--memory", "'100000001'", "whole number of pages"]),
            (["--memory", "17T"], ["--memory", "'17T'", "16 TiB"]),
            (["--memory", "15MiB"], ["at least 16 MiB", "not 15 MiB"]),
            (["--memory", "4GB"], ["--memory", "'4GB'", "GiB"]),
            (["--used", "60%", "--freed", "40.5%"], ["--used 60%", "--freed 40.5%", "100%"]),
            (["--workload", "steady", "--write-rate", "4095"], ["--write-rate", "'4095'", "from 4 KiB to 1 TiB"]),
            (["--workload", "steady", "--working-set", "1K"], ["--working-set", "'1K'", "4 KiB"]),
            (["--write-rate", "1M"], ["--write-rate", "--workload"]),
            (["--workload", "hog", "--write-rate", "1M"], ["--write-rate", "steady, churn or squeeze, not hog"]),
            (["--workload", "churn", "--working-set", "1M"], ["--working-set", "steady, not churn"]),
            (["--poison", "0", "--init-on-alloc"], ["--poison", "--init-on-alloc"]),
            (["--vcpus", "65"], ["--vcpus", "1 to 64", "65"]),
            (["--hole", "1M-3000001", "--memory", "64M"], ["--hole", "'1M-3000001'", "whole page"]),
        ])
        func `a refusal names the option and quotes what was typed`(_ arguments: [String], _ words: [String]) async throws {
            let ended = try await Aerostat.run(Aerostat.path, ["run", "--control", "/nonexistent/x"] + arguments)
            #expect(ended.code == 64, "\(ended)")
            for word in words { #expect(ended.errors.contains(word), "\(ended)") }
        }
    }
}
