import AerostatControl
import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// Disks that hang, and file servers whose answers are lost.
    @Suite(.enabled(if: Preload.isPossible, Comment(rawValue: Preload.remedy))) struct HungDisks {
        @Test func `while the rename hangs, everybody is answered and nothing is promised; afterwards the guest is in its image`()
            async throws
        {
            try await withGuests { guests in
                let disk = try await Preload(.slowRename, seconds: 3, guests)
                let source = try await guests.start(["--memory", "32MiB"], environment: disk.environment)
                let path = guests.path("guest.image")
                async let migration = source.migrate(to: "file:" + path)
                try await eventually("the status says what is waited for") {
                    try await source.command("status").text.contains("waiting for the disk to rename \(path).partial to \(path)")
                }
                #expect(try await source.state() == .finishMigrate)
                _ = try await source.connect().execute("migrate_cancel")
                let migrate = try await migration
                #expect(migrate.code == 0, "\(migrate)")
                #expect(try await source.state() == .postMigrate)
                try await guests.run("--restore", "file:" + path).expectClean()
            }
        }

        @Test func `a guest is not paused while the partial file is being removed`() async throws {
            try await withGuests { guests in
                let disk = try await Preload(.slowUnlink, seconds: 8, guests)
                let source = try await guests.start(["--memory", "32MiB"], environment: disk.environment)
                // The guest's memory and tables fit, but the device state does not: the ftruncate during the pause fails.
                let limit = (2 << 20) + (32 << 20) + 3 * 4096 + 8192 * 4
                let limited = try await Aerostat.run("/usr/bin/prlimit", ["--pid", "\(source.identifier)", "--fsize=\(limit)"])
                try #require(limited.code == 0, "\(limited)")
                let migrate = try await source.migrate(to: "file:" + guests.path("guest.image"))
                migrate.expectFailure("File too large", "the guest is still running at the source")
                let downtime = try #require(try await source.report().downtime)
                #expect(downtime < 4000, "the guest waited for the disk")
                #expect(FileManager.default.fileExists(atPath: guests.path("guest.image.partial")), "the disk was not slow")
                try await source.expectGuestIsStillHere()
                try await source.expectMigrates(guests)
            }
        }

        @Test func `a rename that happened but was reported as failed leaves one owner: the image`() async throws {
            try await withGuests { guests in
                let disk = try await Preload(.failedRename, guests)
                let source = try await guests.start(["--memory", "32MiB", "--workload", "churn"], environment: disk.environment)
                let path = guests.path("guest.image")
                let migrate = try await source.migrate(to: "file:" + path)
                #expect(migrate.code == 0, "\(migrate)")
                #expect(try await source.state() == .postMigrate)
                try await source.expectMemoryStandsStill(guests)
                try await guests.run("--restore", "file:" + path).expectClean()
            }
        }

        @Test func `an image is opened once, so the locked file is the one that is read`() async throws {
            try await withGuests { guests in
                let path = guests.path("guest.image")
                for _ in 0..<2 {
                    let source = try await guests.run("--memory", "32MiB")
                    #expect(try await source.migrate(to: "file:" + path).code == 0)
                }
                let disk = try await Preload(.slowSecondOpen, path: path, guests)
                let guest = try await guests.start(["--restore", "file:" + path], environment: disk.environment)
                #expect(guest.log.contains("open #1") && !guest.log.contains("open #2"), "\(guest.log)")
                try await guest.expectClean()
            }
        }
    }

    /// A disk without free space.
    @Suite(.enabled(if: SmallDisk.isPossible, "mounting a small disk needs root")) struct FullDisks {
        @Test func `a guest that is restored from an image on a full tmpfs runs, and its image does not grow`() async throws {
            try await withGuests { guests in
                let disk = guests.keep(try SmallDisk(megabytes: 40))
                let path = disk.path("guest.image")
                let source = try await guests.run("--memory", "128MiB", "--freed", "0%")
                #expect(try await source.migrate(to: "file:" + path).code == 0)
                try disk.fill()
                let before = try blocks(path)
                let guest = try await guests.run("--restore", "file:" + path)
                try await guest.expectClean()
                // All of it is read. Most of it is holes.
                #expect(try await guest.memory(into: guests.path("ram")).count == 128 << 20)
                let verify = try await Aerostat.command("image", "verify", path)
                #expect(verify.code == 0, "\(verify)")
                #expect(try blocks(path) == before)
                // The guest can move away, and the image can record that.
                try await guest.expectMigrates(guests)
                #expect(try blocks(path) == before)
                let again = try await Aerostat.command("image", "info", path)
                #expect(again.text.contains("has moved on since"), "\(again)")
            }
        }

        private func blocks(_ path: String) throws -> Int {
            var status = stat()
            try #require(unsafe stat(path, &status) == 0)
            return Int(status.st_blocks)
        }
    }
}
