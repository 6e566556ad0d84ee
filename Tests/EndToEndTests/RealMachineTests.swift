import AerostatMigration
import AerostatQMP
import Foundation
import Testing

/// The memory of a real Linux machine. `tools/guest-image --small` makes it, and `tools/test` sets its path.
enum RealMachine {
    static let image: String? = ProcessInfo.processInfo.environment["AEROSTAT_MACHINE_IMAGE"].flatMap {
        FileManager.default.fileExists(atPath: $0) ? $0 : nil
    }
    static let isThere = image != nil
    static let remedy: Comment = "tools/test makes the image; by hand: AEROSTAT_MACHINE_IMAGE=$(tools/guest-image --small)"
}

extension EndToEnd {
    /// Guests with real memory: its fragmentation, its stale content, and pages that nobody generated.
    @Suite(.enabled(if: RealMachine.isThere, RealMachine.remedy)) struct RealMachines {
        private let image = RealMachine.image ?? ""

        @Test func `the image is undamaged, and its guest finds every page unchanged`() async throws {
            try await withGuests { guests in
                let verify = try await Aerostat.command("image", "verify", image)
                #expect(verify.code == 0, "\(verify)")
                let guest = try await guests.run("--restore", "file:" + image, "--clone")
                try await guest.expectClean()
                let check = try await guest.check()
                #expect(check.pagesChecked > 10_000)
                #expect(check.pagesFreeTopOrder > 0 && check.pagesFree > check.pagesFreeTopOrder, "free memory is fragmented")
            }
        }

        @Test(arguments: ["idle", "steady", "churn", "hog"])
        func `under every workload it moves verified, and the largest blocks that Linux had free are not sent`(
            _ workload: String
        ) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--restore", "file:" + image, "--clone", "--workload", workload)
                let topOrder = try await source.check().pagesFreeTopOrder
                let destination = try await guests.waiting()
                let migrate = try await source.migrate(
                    to: try destination.incoming,
                    "--verify",
                    "--timeout",
                    "10s",
                    "--on-timeout",
                    "pause"
                )
                #expect(migrate.code == 0 && migrate.text.contains("no difference"), "\(migrate)")
                try await destination.expectClean()
                guard workload == "idle" else { return }
                let report = try await source.report()
                #expect(report.freePageHints.reportedPages >= topOrder)
                // Everything there is, minus what was skipped. Frames and descriptors come on top.
                let rest = report.ram.total / 4096 - report.absentPages - report.freePageHints.skippedPages
                #expect(report.freePageHints.skippedPages > 0)
                #expect(Double(report.ram.transferred) <= Double(rest) * 4096 * 1.005)
            }
        }

        @Test func `after a start, a move and a second image it is equal, page for page`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--restore", "file:" + image, "--clone", "--paused")
                let next = try await guests.waiting()
                #expect(try await guest.migrate(to: try next.incoming, "--no-hints", "--verify").code == 0)
                try await next.expectClean()
                let second = guests.path("second.image")
                #expect(try await next.migrate(to: "file:" + second, "--no-hints").code == 0)
                let compare = try await Aerostat.command("image", "compare", image, second)
                #expect(compare.code == 0 && compare.text.contains("no difference"), "\(compare)")
            }
        }

        @Test func `demo --image shows both migrations of it`() async throws {
            let demo = try await Aerostat.command("demo", "--json", "--image", image)
            #expect(demo.code == 0, "\(demo)")
            let document = try #require(try JSONSerialization.jsonObject(with: Data(demo.output.utf8)) as? [String: Any])
            #expect(document["verified"] as? Bool == true)
            func sent(_ name: String) -> Int? { ((document[name] as? [String: Any])?["ram"] as? [String: Any])?["transferred"] as? Int }
            #expect(try #require(sent("with-hints")) < #require(sent("without-hints")))
        }
    }
}
