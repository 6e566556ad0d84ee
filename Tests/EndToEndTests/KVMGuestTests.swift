import AerostatControl
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// The tiny guest under KVM, moved as people move it.
    @Suite(.enabled(if: MicroVM.unavailability == nil, Comment(rawValue: MicroVM.unavailability ?? ""))) struct KVMGuests {
        static let trackers = ["kvm-dirty-log", "kvm-dirty-ring", "pagemap-scan"]

        @Test(arguments: trackers)
        func `it moves to another process and back, verified and undamaged`(_ tracker: String) async throws {
            try await withGuests { guests in
                var here = try await guests.run("--guest", "tiny", "--vcpus", "2", "--tracker", tracker)
                for hop in 1...2 {
                    let there = try await guests.waiting("--guest", "kvm", "--tracker", tracker)
                    let migrate = try await here.migrate(to: try there.incoming, "--verify")
                    #expect(migrate.code == 0 && migrate.text.contains("no difference"), "\(migrate)")
                    // Free memory was not touched since the first move skipped it.
                    if hop == 1 { #expect(try await here.report().freePageHints.skippedPages > 0) }
                    #expect(try await here.state() == .postMigrate)
                    #expect(try await there.state() == .running)
                    try await there.expectClean()
                    // Both have rehearsed before, and log it only if that failed.
                    #expect(!here.log.contains("rehearsed") && !there.log.contains("rehearsed"), "\(here.log)\(there.log)")
                    here = there
                }
            }
        }

        @Test(arguments: [[], ["--preload"]] as [[String]])
        func `it moves into an image and starts from it`(_ options: [String]) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--guest", "tiny")
                let image = "file:" + guests.path("tiny.image")
                let migrate = try await source.migrate(to: image, "--verify")
                #expect(migrate.code == 0, "\(migrate)")
                let info = try await Aerostat.command("image", "info", guests.path("tiny.image"))
                #expect(info.code == 0 && info.output.contains("kvm-machine"), "\(info)")
                #expect(try await Aerostat.command("image", "verify", guests.path("tiny.image")).code == 0)
                let again = try await guests.start(["--restore", image] + options)
                #expect(try await again.state() == .running)
                try await again.expectClean()
                try await again.expectMigrates(guests)
            }
        }

        @Test func `it is paused, dumped, checked and resumed`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--guest", "tiny", "--memory", "64MiB")
                #expect(try await guest.command("pause").code == 0)
                try await guest.expectMemoryStandsStill(guests)
                try await guest.expectClean()
                #expect(try await guest.state() == .paused)
                #expect(try await guest.command("resume").code == 0)
                try await guest.expectClean()
                #expect(try await guest.state() == .running)
            }
        }

        @Test func `a cancelled migration leaves it here`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--guest", "tiny")
                let destination = try await guests.waiting()
                let client = try await source.connect()
                // About 100 KiB/s, so that it does not get far.
                _ = try await client.execute("migrate-set-parameters", ["max-bandwidth": 100_000])
                _ = try await client.execute("migrate", ["uri": .string(try destination.incoming)])
                try await eventually("memory travels") { try await client.migrationReport().ram.transferred > 20_000 }
                #expect(try await source.command("cancel").code == 0)
                try await source.expectGuestIsStillHere(.cancelled)
                try await destination.expectGuestDidNotCome("the source gave up")
                _ = try await client.execute("migrate-set-parameters", ["max-bandwidth": 0])
                try await source.expectMigrates(guests)
            }
        }

        @Test func `a killed destination leaves it here`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--guest", "tiny")
                let destination = try await guests.waiting()
                let client = try await source.connect()
                _ = try await client.execute("migrate-set-parameters", ["max-bandwidth": 100_000])
                _ = try await client.execute("migrate", ["uri": .string(try destination.incoming)])
                try await eventually("memory travels") { try await client.migrationReport().ram.transferred > 20_000 }
                destination.kill()
                try await eventually("the source notices") { try await client.migrationReport().status == .failed }
                try await source.expectGuestIsStillHere()
                _ = try await client.execute("migrate-set-parameters", ["max-bandwidth": 0])
                try await source.expectMigrates(guests)
            }
        }

        // MARK: The guest ends on its own

        /// A command on the guest's serial port, and its effect.
        struct End: Sendable, CustomTestStringConvertible {
            let order: UInt8
            let reason: String
            let words: String
            let code: Int32
            let state: RunState
            var testDescription: String { reason }
        }

        static let ends = [
            End(order: UInt8(ascii: "p"), reason: "guest-shutdown", words: "it powered off", code: 0, state: .shutdown),
            End(order: UInt8(ascii: "r"), reason: "guest-reset", words: "it reset itself", code: 0, state: .shutdown),
            End(order: UInt8(ascii: "t"), reason: "guest-panic", words: "the guest has crashed", code: 1, state: .guestPanicked),
        ]

        @Test(arguments: ends)
        func `the end of a guest is an event, and ends its process`(_ end: End) async throws {
            try await withGuests { guests in
                let console = guests.path("console")
                let guest = try await guests.run("--guest", "tiny", "--console", "unix:" + console)
                let client = try await guest.connect()
                _ = try await aside { try FrameSocket(connectingTo: "unix:" + console).send([end.order]) }
                var events: [Event] = []
                for await event in client.events { events.append(event) }
                #expect(events.contains(.shutdown(guest: true, reason: end.reason)), "\(events)")
                #expect(try await guest.exitCode() == end.code, "\(guest.log)")
                #expect(guest.log.contains(end.words), "\(guest.log)")
            }
        }

        @Test(arguments: ends)
        func `with --no-shutdown an ended guest can be inspected`(_ end: End) async throws {
            try await withGuests { guests in
                let console = guests.path("console")
                let guest = try await guests.run("--guest", "tiny", "--console", "unix:" + console, "--no-shutdown")
                _ = try await aside { try FrameSocket(connectingTo: "unix:" + console).send([end.order]) }
                try await eventually("it has ended") { try await guest.state() == end.state }
                #expect(!guest.hasEnded)
                #expect(try await guest.command("dump-memory", "-o", guests.path("ram")).code == 0)
                try await guest.command("resume").expectFailure("the guest has ended")
                try await guest.migrate(to: "tcp:127.0.0.1:1").expectFailure("the guest has ended")
                #expect(try await guest.command("quit").code == 0)
                #expect(try await guest.exitCode() == 0)
            }
        }

        @Test(arguments: ends)
        func `if a guest ends during its migration, the migration fails, and both sides say so`(_ end: End) async throws {
            try await withGuests { guests in
                let console = guests.path("console")
                let source = try await guests.run("--guest", "tiny", "--console", "unix:" + console)
                let destination = try await guests.waiting()
                let uri = try destination.incoming
                async let migration = source.migrate(to: uri, "--bandwidth-limit", "1M")
                let client = try await source.connect()
                try await eventually("memory travels") { try await client.migrationReport().ram.transferred > 20_000 }
                _ = try await aside { try FrameSocket(connectingTo: "unix:" + console).send([end.order]) }
                try await migration.expectFailure("the guest ended during the migration")
                try await destination.expectGuestDidNotCome("the guest ended during the migration")
                #expect(try await source.exitCode() == end.code, "\(source.log)")
            }
        }
    }
}
