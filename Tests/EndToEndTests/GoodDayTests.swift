import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// Migrations that succeed, as a person sees them.
    @Suite struct GoodDays {
        @Test func `a guest under churn on two vCPUs moves ten times from process to process, verified and clean each time`() async throws {
            try await withGuests { guests in
                var place = try await guests.run("--memory", "128MiB", "--workload", "churn", "--vcpus", "2")
                for journey in 1...10 {
                    let next = try await guests.waiting()
                    let migrate = try await place.migrate(to: try next.incoming, "--verify")
                    #expect(migrate.code == 0 && migrate.text.contains("no difference"), "journey \(journey): \(migrate)")
                    #expect(try await place.state() == .postMigrate)
                    #expect(try await next.state() == .running)
                    let report = try await place.report()
                    #expect(report.freePageHints.reportedPages > 0, "journey \(journey) was hinted")
                    try await next.expectClean()
                    // The guest has moved away and does not run here any more.
                    try await place.expectMemoryStandsStill(guests)
                    #expect(try await place.command("resume").code == 1)
                    #expect(try await place.command("quit").code == 0)
                    place = next
                }
            }
        }

        @Test(arguments: ["idle", "steady", "churn", "hog"], [["--no-hints"], []])
        func `guests of every workload move, over unix and tcp`(_ workload: String, _ hints: [String]) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", workload, "--fragmentation", "20%")
                let destination = try await guests.run("--incoming", "unix:" + guests.path("in.sock"))
                let there = try await source.migrate(
                    to: try destination.incoming,
                    arguments: ["--verify", "--timeout", "5s", "--on-timeout", "pause"] + hints
                )
                #expect(there.code == 0, "\(there)")
                #expect(try await (source.report().freePageHints.skippedPages > 0) == hints.isEmpty)
                try await destination.expectClean()
                let third = try await guests.waiting()
                #expect(try await destination.migrate(to: try third.incoming, "--timeout", "5s", "--on-timeout", "pause").code == 0)
                try await third.expectClean()
            }
        }

        @Test func `a destination started with --paused has the same memory, page by page, and runs on request`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting("--paused")
                #expect(try await source.migrate(to: try destination.incoming, "--no-hints").code == 0)
                #expect(try await destination.state() == .paused)
                let there = try await destination.memory(into: guests.path("there.ram"))
                #expect(try await source.memory(into: guests.path("here.ram")) == there)
                #expect(there.count == 64 << 20)
                let resumed = try await destination.command("resume")
                #expect(resumed.code == 0 && resumed.text.contains("running"), "\(resumed)")
                try await destination.expectClean()
            }
        }

        @Test func `with hints, memory differs only where it is free`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB")
                let destination = try await guests.waiting("--paused")
                #expect(try await source.migrate(to: try destination.incoming).code == 0)
                let here = try await source.memory(into: guests.path("here.ram"))
                let there = try await destination.memory(into: guests.path("there.ram"))
                var differing = 0
                for page in stride(from: 0, to: here.count, by: 4096) where here[page..<page + 4096] != there[page..<page + 4096] {
                    differing += 1
                    // A free page reads as zero, never as somebody else's data.
                    #expect(there[page..<page + 4096].allSatisfy { $0 == 0 }, "page \(page / 4096)")
                }
                let report = try await source.report()
                #expect(differing > 0 && differing <= report.freePageHints.skippedPages)
                _ = try await destination.command("resume")
                try await destination.expectClean()
            }
        }

        @Test func `a paused guest arrives paused`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                #expect(try await source.command("pause").code == 0)
                let destination = try await guests.waiting()
                #expect(try await source.migrate(to: try destination.incoming, "--verify").code == 0)
                #expect(try await destination.state() == .paused)
                try await destination.expectMemoryStandsStill(guests)
                #expect(try await destination.command("resume").code == 0)
                try await destination.expectClean()
            }
        }

        @Test func `a paused guest whose migration fails stays paused`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                _ = try await source.command("pause")
                let destination = try await guests.waiting()
                let proxy = guests.keep(try Proxy(to: try destination.incoming) { $0.kind == .ready ? .cut(after: 3) : .pass })
                try await source.migrate(to: proxy.uri).expectFailure("the guest is paused at the source", "resume")
                #expect(try await source.state() == .paused)
                try await source.expectMemoryStandsStill(guests)
                #expect(try await source.command("resume").code == 0)
                try await source.expectClean()
            }
        }

        @Test func `--json prints one document, and text for people goes to standard error`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting()
                let record = guests.path("record.json")
                let migrate = try await source.migrate(to: try destination.incoming, "--json", "--verify", "--record", record)
                #expect(migrate.code == 0)
                let report = try MigrationReport(json: try JSONParser.parse(Array(migrate.output.utf8), limits: .reply))
                #expect(report.status == .completed && report.verify?.status == .passed && report.ram.total == 64 << 20)
                #expect(report.rounds.count >= 2 && report.rounds.last?.paused == true)
                #expect(migrate.errors.contains("the guest now runs at the destination"))
                #expect(FileManager.default.fileExists(atPath: record))
            }
        }

        @Test func `a record that cannot be written does not make the command say that the guest is still here`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB")
                let destination = try await guests.waiting()
                let migrate = try await source.migrate(to: try destination.incoming, "--json", "--record", "/dev/full")
                #expect(migrate.code == 0)
                #expect(try MigrationReport(json: try JSONParser.parse(Array(migrate.output.utf8), limits: .reply)).status == .completed)
                #expect(migrate.errors.contains("the record was not written") && migrate.errors.contains("/dev/full"))
            }
        }

        @Test func `free memory that a guest clears when it is asked for hints is sent as zeros`() async throws {
            let demo = try await Aerostat.command("demo", "--memory", "768MiB", "--init-on-alloc", "--workload", "churn", "--json")
            try #require(demo.code == 0, "\(demo)")
            let document = try JSONParser.parse(Array(demo.output.utf8), limits: .reply)
            let without = try MigrationReport(json: document["without-hints"] ?? .null)
            let with = try MigrationReport(json: document["with-hints"] ?? .null)
            let hints = with.freePageHints
            // There was one command, before the tracker was armed, for half of the guest. Pages that are cleared for hints after arming
            // would be sent twice.
            #expect(hints.commands == 1 && hints.skippedPages == 0, "\(hints)")
            #expect(hints.reportedPages >= 60_000 && hints.zeroedPages >= 50_000, "\(hints)")
            #expect(with.ram.transferred * 2 < without.ram.transferred, "\(with.ram.transferred) and \(without.ram.transferred) bytes")
        }

        @Test func `the demo's two migrations are verified, and hints save bytes`() async throws {
            let demo = try await Aerostat.command("demo", "--memory", "128MiB", "--json")
            try #require(demo.code == 0, "\(demo)")
            let document = try JSONParser.parse(Array(demo.output.utf8), limits: .reply)
            #expect(document["verified"] == true)
            // The guest was surveyed and keeps its memory. The source noticed that it took its blocks back, and did not wait in vain (200
            // ms).
            let hints = try MigrationReport(json: document["with-hints"] ?? .null).freePageHints
            #expect(hints.commands >= 2 && hints.headStart < 200, "\(hints)")
            let (without, with) = (
                document["without-hints"]?["ram"]?["transferred"]?.integer, document["with-hints"]?["ram"]?["transferred"]?.integer
            )
            #expect(try #require(with) * 2 < (try #require(without)))
        }

        @Test func `The demo's guest gives memory up, moves with the balloon full, and takes it back`() async throws {
            let demo = try await Aerostat.command("demo", "--balloon", "--memory", "128MiB", "--json")
            try #require(demo.code == 0, "\(demo)")
            let document = try JSONParser.parse(Array(demo.output.utf8), limits: .reply)
            #expect(document["verified"] == true)
            let steps = try #require(document["steps"]?.array)
            #expect(steps.map { $0["step"]?.string } == ["started", "shrunk", "moved", "grown again"])
            #expect(steps.map { $0["guest-bytes"]?.integer } == [128 << 20, 32 << 20, 32 << 20, 128 << 20])
            let resident = steps.compactMap { $0["resident-bytes"]?.integer }
            // Half of the guest's memory held data that it had freed. All of that went back but for the 19 MiB that are free and stay.
            try #require(resident.count == 4)
            #expect(resident[1] < resident[0] - 42 << 20, "\(resident)")
            #expect(resident[2] < resident[0] - 40 << 20 && resident[3] < resident[2] + 8 << 20, "\(resident)")
            let report = try MigrationReport(json: document["migration"] ?? .null)
            #expect(report.balloon.balloonedPages == 96 << 8 && report.verify?.status == .passed)
            #expect(report.absentPages >= report.balloon.balloonedPages && report.ram.transferred < 32 << 20, "\(report)")
            #expect(demo.errors.contains("resident memory"), "\(demo)")
        }

        /// The python that has the `qemu.qmp` package; `nil` if it cannot be made (no network, no venv).
        private static func python() async throws -> String? {
            let made = try await Aerostat.run(Aerostat.root.appending(path: "tools/python-env").path, [])
            return made.code == 0 ? made.output.split(separator: "\n").last.map(String.init) : nil
        }

        @Test(.enabled("the qemu.qmp package could not be installed (tools/python-env)") { try await python() != nil })
        func `the field's own client drives a real migration`() async throws {
            let python = try #require(try await Self.python())
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting()
                let script = Aerostat.root.appending(path: "tools/qmp_client.py").path
                let client = try await Aerostat.run(python, [script, source.control, try destination.incoming])
                #expect(client.code == 0 && client.output.contains("completed"), "\(client)")
                #expect(client.output.contains("stat-free-memory"), "the machine has a balloon: \(client)")
                try await destination.expectClean()
                let again = try await Aerostat.run(python, [script, destination.control])
                #expect(again.code == 0, "\(again)")
            }
        }

        private static func isQEMUThere() async throws -> Bool {
            try await Aerostat.run("/bin/sh", ["-c", "command -v qemu-system-x86_64"]).code == 0
        }

        @Test(.enabled("QEMU is not installed (tools/setup image)") { try await isQEMUThere() })
        func `QEMU, asked the same, answers in the same shapes`() async throws {
            let script = Aerostat.root.appending(path: "tools/qmp_shapes.py").path
            let ended = try await Aerostat.run("/usr/bin/env", ["python3", script, Aerostat.path])
            #expect(ended.code == 0 && ended.errors.contains(" 0 differences"), "\(ended)")
        }
    }
}
