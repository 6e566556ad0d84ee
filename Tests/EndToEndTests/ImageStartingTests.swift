import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// Guests that start from an image.
    @Suite struct StartingFromImages {
        /// An image of a guest under churn.
        private func image(_ guests: Guests, _ arguments: String...) async throws -> String {
            let path = guests.path("guest.image")
            let source = try await guests.start(arguments.isEmpty ? ["--memory", "128MiB", "--workload", "churn"] : arguments)
            let migrate = try await source.migrate(to: "file:" + path)
            try #require(migrate.code == 0, "\(migrate)")
            _ = try await source.command("quit")
            return path
        }

        @Test(arguments: [[], ["--preload"]])
        func `the guest continues undamaged, and moves to another process and into a second image`(_ how: [String]) async throws {
            try await withGuests { guests in
                let path = try await image(guests)
                let guest = try await guests.start(["--restore", "file:" + path] + how)
                #expect(try await guest.state() == .running)
                try await guest.expectClean()
                let next = try await guests.waiting()
                let migrate = try await guest.migrate(to: try next.incoming, "--verify")
                #expect(migrate.code == 0 && migrate.text.contains("no difference"), "\(migrate)")
                #expect(try await guest.report().freePageHints.reportedPages > 0)
                try await next.expectClean()
                let second = guests.path("second.image")
                #expect(try await next.migrate(to: "file:" + second, "--verify").code == 0)
                let last = try await guests.start(["--restore", "file:" + second] + how)
                try await last.expectClean()
            }
        }

        @Test(arguments: [[], ["--preload"]])
        func `a guest that did not run in between has the same image again, page for page`(_ how: [String]) async throws {
            try await withGuests { guests in
                let path = try await image(guests)
                let guest = try await guests.start(["--restore", "file:" + path, "--paused"] + how)
                #expect(try await guest.state() == .paused)
                let next = try await guests.waiting()
                #expect(try await guest.migrate(to: try next.incoming, "--no-hints").code == 0)
                #expect(try await next.state() == .paused)
                let second = guests.path("second.image")
                #expect(try await next.migrate(to: "file:" + second, "--verify").code == 0)
                let compare = try await Aerostat.command("image", "compare", path, second)
                #expect(compare.code == 0 && compare.text.contains("no difference"), "\(compare)")
                #expect(try await Aerostat.command("image", "verify", second).code == 0)
                // The image records that the guest was paused in between.
                #expect(try await guests.run("--restore", "file:" + second).state() == .paused)
            }
        }

        @Test func `a lazily started guest reads only the pages that it touches, and sends each page once`() async throws {
            try await withGuests { guests in
                let path = try await image(guests, "--memory", "256MiB", "--used", "80%", "--freed", "0%")
                let guest = try await guests.run("--restore", "file:" + path)
                let populated = try guest.residentBytes()
                #expect(populated < 64 << 20, "much of the image was read: \(populated)")
                let next = try await guests.waiting()
                #expect(try await guest.migrate(to: try next.incoming, "--no-hints", "--verify").code == 0)
                let report = try await guest.report()
                // Only pages of the kernel's ticks, lists and tables are sent again, not those that the engine itself has read.
                #expect(report.ram.normal < (256 << 20) / 4096 * 85 / 100)
                try await next.expectClean()
            }
        }

        @Test func `a guest can replace the image that it runs from`() async throws {
            try await withGuests { guests in
                let path = try await image(guests)
                let guest = try await guests.run("--restore", "file:" + path)
                #expect(try await guest.migrate(to: "file:" + path, "--verify").code == 0)
                let again = try await guests.run("--restore", "file:" + path, "--preload")
                try await again.expectClean()
                // The first process still has its memory, although that file has no name any more.
                #expect(try await guest.command("check").code == 0)
            }
        }

        @Test func `a memory dump does not overwrite the image that the guest runs from`() async throws {
            try await withGuests { guests in
                let path = try await image(guests)
                let guest = try await guests.run("--restore", "file:" + path)
                try await guest.command("dump-memory", "-o", path).expectFailure("maybe a guest that runs from it", path)
                #expect(try await guest.command("check").code == 0)
                #expect(try await guest.command("dump-memory", "-o", guests.path("ram")).code == 0)
            }
        }

        @Test func `only one process at a time runs the guest of an image, but several may run copies of it`() async throws {
            try await withGuests { guests in
                let path = try await image(guests)
                func refused(_ arguments: String..., words: String) async throws {
                    let start = ["run", "--restore", "file:" + path, "--control", guests.path("second.sock")] + arguments
                    try await Aerostat.run(Aerostat.path, start).expectFailure("\(path) is refused", words)
                    #expect(!FileManager.default.fileExists(atPath: guests.path("second.sock")))
                }
                let first = try await guests.run("--restore", "file:" + path)
                try await refused(words: "another process has its guest")
                try await refused("--clone", words: "another process has its guest")
                _ = try await first.command("quit")
                _ = try await first.exitCode()
                let copies = [
                    try await guests.run("--restore", "file:" + path, "--clone"),
                    try await guests.run("--restore", "file:" + path, "--clone"),
                ]
                try await refused(words: "copies of its guest run")
                for copy in copies {
                    try await copy.expectClean()
                    // A copy that moves away leaves the image's guest where it is.
                    try await copy.expectMigrates(guests)
                    _ = try await copy.command("quit")
                    _ = try await copy.exitCode()
                }
                try await guests.run("--restore", "file:" + path).expectClean()
            }
        }

        @Test func `a guest that has moved on is not started again from its image, whatever happened to its former process`()
            async throws
        {
            try await withGuests { guests in
                let path = try await image(guests)
                let first = try await guests.run("--restore", "file:" + path)
                try await first.expectMigrates(guests)
                #expect(first.log.contains("the image \(path) that it was started from must not be started again"), "\(first.log)")
                first.kill()
                _ = try await first.exitCode()
                try await Aerostat.command("run", "--restore", "file:" + path, "--control", guests.path("x.sock"))
                    .expectFailure("\(path) is refused: its guest has moved on", "--clone")
                let info = try await Aerostat.command("image", "info", path)
                #expect(info.text.contains("has moved on since"), "\(info)")
                #expect(try await Aerostat.command("image", "verify", path).code == 0)
                try await guests.run("--restore", "file:" + path, "--clone").expectClean()
            }
        }

        @Test func `after a process is killed during a migration, its image cannot be started by mistake`() async throws {
            try await withGuests { guests in
                let path = try await image(guests)
                let guest = try await guests.run("--restore", "file:" + path)
                let destination = try await guests.waiting()
                let migration = Task { try await guest.migrate(to: try destination.incoming, arguments: WritingImages.endless) }
                try await eventually("the second round") { try await guest.report().rounds.count >= 2 }
                guest.kill()
                _ = try await migration.value
                try await Aerostat.command("run", "--restore", "file:" + path, "--control", guests.path("x.sock"))
                    .expectFailure("\(path) is refused: its guest has moved on", "or was about to when its process was killed")
            }
        }

        @Test func `a guest that stays after all, or that a person resumes, is in its image again`() async throws {
            try await withGuests { guests in
                let path = try await image(guests)
                var guest = try await guests.run("--restore", "file:" + path)
                let destination = try await guests.waiting()
                let migration = Task { [guest] in try await guest.migrate(to: try destination.incoming, arguments: WritingImages.endless) }
                try await eventually("the second round") { try await guest.report().rounds.count >= 2 }
                #expect(try await guest.command("cancel").code == 0)
                try await migration.value.expectFailure("cancelled")
                guest.kill()
                _ = try await guest.exitCode()

                guest = try await guests.run("--restore", "file:" + path)
                #expect(try await guest.migrate(to: "file:" + guests.path("second.image")).code == 0)
                #expect(try await guest.command("resume", "--force").code == 0)
                guest.kill()
                _ = try await guest.exitCode()
                try await guests.run("--restore", "file:" + path).expectClean()
            }
        }

        @Test func `a source is killed while it writes an image: the command says whether the guest is in it`() async throws {
            try await withGuests { guests in
                let path = try await image(guests)
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let migration = Task { try await source.migrate(to: "file:" + path, arguments: WritingImages.endless) }
                try await eventually("the second round") { try await source.report().rounds.count >= 2 }
                source.kill()
                try await migration.value.expectFailure(code: 3, "the image was not finished", "\(path) is an older one, of 20")
            }
        }

        @Test func `a person may resume the guest after its image was written, but only with --force`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                #expect(try await source.migrate(to: "file:" + guests.path("guest.image")).code == 0)
                let refused = try await source.command("resume")
                #expect(refused.code == 1 && refused.text.contains("force"), "\(refused)")
                #expect(try await source.command("resume", "--force").code == 0)
                #expect(try await source.state() == .running)
                try await source.expectClean()
                try await source.expectMigrates(guests)
            }
        }

        @Test func `the partial image of a killed writer is refused`() async throws {
            try await withGuests { guests in
                let path = guests.path("guest.image")
                let victim = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let migration = Task { try await victim.migrate(to: "file:" + path, arguments: WritingImages.endless) }
                try await eventually("the second round") { try await victim.report().rounds.count >= 2 }
                victim.kill()
                _ = try await migration.value
                let half = try await Aerostat.command("run", "--restore", "file:\(path).partial", "--control", guests.path("half.sock"))
                #expect(half.code == 1 && half.text.contains("never finished"), "\(half)")
                let none = try await Aerostat.command("run", "--restore", "file:\(path)", "--control", guests.path("none.sock"))
                #expect(none.code == 1 && none.text.contains("No such file"), "\(none)")
            }
        }

        @Test(arguments: [[], ["--preload"]])
        func `if a file is truncated under its guest, the guest ends with a clear message`(_ how: [String]) async throws {
            try await withGuests { guests in
                let path = try await image(guests, "--memory", "128MiB", "--used", "60%", "--freed", "0%")
                if how.isEmpty {
                    let guest = try await guests.run("--restore", "file:" + path)
                    unsafe truncate(path, 4 << 20)
                    let check = try await guest.command("check")
                    #expect(check.code == 1, "\(check)")
                    #expect(try await guest.exitCode() == 1)
                    #expect(guest.log.contains("could not be read from the image \(path)"), "\(guest.log)")
                } else {
                    unsafe truncate(path, 64 << 20)
                    let arguments = ["run", "--restore", "file:\(path)", "--preload", "--control", guests.path("x.sock")]
                    let cut = try await Aerostat.run(Aerostat.path, arguments)
                    #expect(cut.code == 1 && cut.text.contains("cut off"), "\(cut)")
                }
            }
        }

        @Test func `verify and --preload find a flipped bit and name its position`() async throws {
            try await withGuests { guests in
                let path = try await image(guests, "--memory", "64MiB", "--used", "60%", "--freed", "0%")
                let file = try FileHandle(forUpdating: URL(filePath: path))
                // In the middle of a page of used memory.
                let offset: UInt64 = 26 << 20 + 100
                try file.seek(toOffset: offset)
                let byte = try #require(try file.read(upToCount: 1)?.first)
                try file.seek(toOffset: offset)
                try file.write(contentsOf: Data([byte ^ 0x10]))
                try file.close()
                let verify = try await Aerostat.command("image", "verify", path)
                #expect(verify.code == 2 && verify.text.contains("page 6144 is damaged (offset \(26 << 20))"), "\(verify)")
                let run = try await Aerostat.command("run", "--restore", "file:\(path)", "--preload", "--control", guests.path("x.sock"))
                #expect(run.code == 1 && run.text.contains("page 6144 is damaged"), "\(run)")
                // A lazy start succeeds, and the guest's own check finds the damage.
                let guest = try await guests.run("--restore", "file:" + path)
                let check = try await guest.command("check")
                #expect(check.code == 2 && check.text.contains("1 wrong"), "\(check)")
            }
        }
    }
}

extension GuestChild {
    /// How much memory the process has resident now.
    func residentBytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(identifier)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(Int(line.split(separator: " ").dropLast().last ?? "")) << 10
    }
}
