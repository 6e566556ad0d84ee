import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// Migrations into a guest image.
    @Suite struct WritingImages {
        /// Slow enough that something can happen to it, and never ending on its own.
        static let endless = ["--bandwidth-limit", "200M", "--downtime-limit", "1ms"]

        /// Starts a migration that continues until something happens to it, and waits until it is in a round.
        private func begin(_ source: GuestChild, _ path: String, round: Int) async throws -> Task<Ended, any Error> {
            let migrate = Task { try await source.migrate(to: "file:" + path, arguments: Self.endless) }
            try await eventually("round \(round) is under way") { try await source.report().rounds.count >= round }
            return migrate
        }

        @Test func `a guest under churn moves into an image, verified, and does not run here any more`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "128MiB", "--workload", "churn", "--vcpus", "2")
                let path = guests.path("guest.image")
                let migrate = try await source.migrate(to: "file:" + path, "--verify")
                #expect(migrate.code == 0 && migrate.text.contains("no difference"), "\(migrate)")
                #expect(migrate.text.contains("aerostat run --restore file:\(path)"), "\(migrate)")
                #expect(try await source.state() == .postMigrate)
                #expect(try await source.report().freePageHints.skippedPages > 0)
                #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
                try await source.expectMemoryStandsStill(guests)
            }
        }

        @Test func `the file takes space for pages with data that are not free, and little more`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "512MiB", "--used", "20%", "--freed", "60%")
                let path = guests.path("guest.image")
                #expect(try await source.migrate(to: "file:" + path).code == 0)
                var status = stat()
                try #require(unsafe stat(path, &status) == 0)
                // At offset 96 the header counts the pages with data.
                let file = try FileHandle(forReadingFrom: URL(filePath: path))
                try file.seek(toOffset: 96)
                let count = try #require(try file.read(upToCount: 8)).enumerated().reduce(0) { $0 | Int($1.element) << ($1.offset * 8) }
                let used = Int(try #require(try await source.report().guest?.usedBytes)) / 4096
                // Free blocks that are too small to be hinted are stored as well as the used pages.
                #expect((used...used + 4096).contains(count))
                #expect(Double(status.st_blocks) * 512 <= Double(count) * 4096 * 1.02)
                #expect(Int(status.st_size) > 512 << 20)
            }
        }

        @Test(arguments: ["rounds", "end", "none"])
        func `every sync policy writes an image`(_ policy: String) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "steady")
                let migrate = try await source.migrate(to: "file:" + guests.path("guest.image"), "--verify", "--sync", policy)
                #expect(migrate.code == 0, "\(migrate)")
            }
        }

        @Test(.enabled(if: SmallDisk.isPossible, "mounting a small disk needs root"), arguments: [1, 2, 12])
        func `if the disk fills up, the guest stays, no file is left, and the message says how much is needed`(_ round: Int) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn", "--write-rate", "40MiB")
                let disk = guests.keep(try SmallDisk(megabytes: round == 1 ? 3 : 256))
                let path = disk.path("guest.image")
                let migrate: Ended
                if round == 1 {
                    migrate = try await source.migrate(to: "file:" + path)
                } else {
                    let migration = try await begin(source, path, round: round)
                    try disk.fill()
                    migrate = try await migration.value
                }
                migrate.expectFailure("the disk is full: \(path) needs about", "MiB) in all", "the guest is still running at the source")
                // The image never needs more than the guest has, however often pages were written.
                let needed = try #require(try /\((\d+) MiB\) in all/.firstMatch(in: migrate.text).flatMap { Int($0.output.1) })
                #expect((4...66).contains(needed))
                #expect(disk.names.filter { $0 != "filler" } == [])
                try await source.expectGuestIsStillHere()
                try await source.expectMigrates(guests)
            }
        }

        @Test func `after a cancelled migration the older image is left, and no partial file`() async throws {
            try await withGuests { guests in
                let path = guests.path("guest.image")
                try Data("older".utf8).write(to: URL(filePath: path))
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                for round in [1, 2] {
                    let migration = try await begin(source, path, round: round)
                    #expect(FileManager.default.fileExists(atPath: path + ".partial"))
                    #expect(try await source.command("cancel").code == 0)
                    try await migration.value.expectFailure("cancelled", "the guest is still running at the source")
                    #expect(try Data(contentsOf: URL(filePath: path)) == Data("older".utf8))
                    #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
                    try await source.expectGuestIsStillHere(.cancelled)
                }
            }
        }

        @Test func `the next writer takes over a killed writer's file, and the older image survives until then`() async throws {
            try await withGuests { guests in
                let path = guests.path("guest.image")
                try Data("older".utf8).write(to: URL(filePath: path))
                let victim = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let migration = try await begin(victim, path, round: 2)
                victim.kill()
                _ = try await migration.value
                #expect(FileManager.default.fileExists(atPath: path + ".partial"))
                #expect(try Data(contentsOf: URL(filePath: path)) == Data("older".utf8))
                let source = try await guests.run("--memory", "32MiB")
                #expect(try await source.migrate(to: "file:" + path, "--verify").code == 0)
                #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
                #expect(try Data(contentsOf: URL(filePath: path)).count > 32 << 20)
            }
        }

        @Test func `a second writer to the same path is refused, and the first continues`() async throws {
            try await withGuests { guests in
                let path = guests.path("guest.image")
                let first = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let second = try await guests.run("--memory", "64MiB")
                let migration = try await begin(first, path, round: 2)
                let refused = try await second.migrate(to: "file:" + path)
                refused.expectFailure("it is being written already", path, "the guest is still running at the source")
                try await second.expectGuestIsStillHere()
                #expect(try await first.report().status == .active)
                #expect(FileManager.default.fileExists(atPath: path + ".partial"))
                #expect(try await first.command("cancel").code == 0)
                _ = try await migration.value
                #expect(try await second.migrate(to: "file:" + path).code == 0)
            }
        }

        @Test(arguments: ["/nowhere/guest.image", "/", "/proc/guest.image", "/dev/null"])
        func `a path that cannot be written is named, and the guest keeps running`(_ path: String) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB")
                let migrate = try await source.migrate(to: "file:" + path)
                migrate.expectFailure(path, "the guest is still running at the source")
                try await source.expectGuestIsStillHere()
                try await source.expectMigrates(guests)
            }
        }

        @Test func `if a commit cannot be carried out, the guest keeps running, and the message says so`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB")
                let path = guests.path("guest.image")
                let migration = Task { try await source.migrate(to: "file:" + path, "--bandwidth-limit", "40M") }
                try await eventually("the image is begun") { FileManager.default.fileExists(atPath: path + ".partial") }
                try FileManager.default.removeItem(atPath: path + ".partial")
                let migrate = try await migration.value
                migrate.expectFailure("could not rename the finished image: \(path)", "the guest is still running at the source")
                #expect(!FileManager.default.fileExists(atPath: path))
                try await source.expectGuestIsStillHere()
                try await source.expectMigrates(guests)
            }
        }

        @Test func `an import does not overwrite its own sources`() async throws {
            try await withGuests { guests in
                let (ram, flags) = (guests.path("ram"), guests.path("flags"))
                try Data(count: 16 << 20).write(to: URL(filePath: ram))
                try Data(count: (16 << 20) / 512).write(to: URL(filePath: flags))
                for output in [ram, flags] {
                    let refused = try await Aerostat.command("image", "import", "--ram", ram, "--page-flags", flags, "-o", output)
                    refused.expectFailure(code: 64, "would overwrite its own source")
                }
                #expect(try Data(contentsOf: URL(filePath: ram)).count == 16 << 20)
                let image = guests.path("guest.image")
                #expect(try await Aerostat.command("image", "import", "--ram", ram, "--page-flags", flags, "-o", image).code == 0)
            }
        }

        @Test func `a paused guest moves into an image and stays paused`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                #expect(try await source.command("pause").code == 0)
                #expect(try await source.migrate(to: "file:" + guests.path("guest.image"), "--verify").code == 0)
                #expect(try await source.report().downtime == nil)
            }
        }
    }
}
