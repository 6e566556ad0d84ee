import AerostatControl
import AerostatHost
import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// What a signal ends, and what ends together with it.
    @Suite struct Signals {
        /// A command in a process of its own, with its own folder for temporary files.
        private final class Command: Guests.Endable {
            let folder: String
            private let process = Process()
            private let errors: Capture
            private let ended = Monitor(false)

            init(_ arguments: [String]) throws {
                // Short, because paths of sockets begin with it.
                folder = "/tmp/a-\(UUID().uuidString.prefix(8))"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                errors = try Capture()
                process.executableURL = URL(filePath: Aerostat.path)
                process.arguments = arguments
                process.environment = ProcessInfo.processInfo.environment.merging(["TMPDIR": folder]) { $1 }
                process.standardInput = FileHandle.nullDevice
                process.standardOutput = FileHandle.nullDevice
                process.standardError = errors.handle
                process.terminationHandler = { [ended] _ in ended.update { $0 = true } }
                try process.run()
            }

            var log: String { errors.text }
            var hasEnded: Bool { ended.withLock { $0 } }
            func signal(_ number: Int32) { if !hasEnded { kill(process.processIdentifier, number) } }
            func end() {
                signal(SIGKILL)
                try? FileManager.default.removeItem(atPath: folder)
            }

            func exitCode() async throws -> Int32 {
                try await eventually("the command ends", within: .seconds(15)) { hasEnded }
                return process.exitCode
            }

            /// Processes whose command line names the folder.
            var children: [String] {
                ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).filter { name in
                    guard Int(name) != nil, let words = FileManager.default.contents(atPath: "/proc/\(name)/cmdline") else { return false }
                    return String(decoding: words, as: UTF8.self).contains(folder)
                }
            }

            /// Waits until two guests run.
            func awaitGuests() async throws {
                try await eventually("two guests run") {
                    if hasEnded { throw TooLate(description: "the command ended before: \(log)") }
                    return children.count >= 2
                }
            }

            var files: [String] { (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? ["no folder"] }
        }

        @Test func `SIGHUP ends a guest's process as SIGTERM does, with its socket and the image that it was writing`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "64MiB")
                let image = guests.path("image")
                async let migration = guest.migrate(to: "file:\(image)", "--bandwidth-limit", "40M", "--no-hints")
                try await eventually("the image is being written") { try await guest.report().ram.normal > 0 }
                guest.signal(SIGHUP)
                #expect(try await guest.exitCode() == 0, "\(guest.log)")
                _ = try await migration
                for path in [guest.control, image, image + ".partial"] {
                    #expect(!FileManager.default.fileExists(atPath: path), "\(path)")
                }
            }
        }

        @Test func `A guest's process that was started under nohup survives the end of its terminal`() async throws {
            try await withGuests { guests in
                let guest = try await guests.start(["--memory", "16MiB"], by: #"trap '' HUP; exec "$@""#)
                guest.signal(SIGHUP)
                try await Task.sleep(for: .milliseconds(100))
                #expect(try await guest.state() == .running)
                guest.signal(SIGTERM)
                #expect(try await guest.exitCode() == 0)
            }
        }

        @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
        func `A signal to 'migrate' cancels the migration`(_ number: Int32) async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "64MiB")
                let destination = try await guests.waiting()
                let migrate = guests.keep(try slowMigration(of: guest, to: destination))
                try await eventually("the first round sends") { try await guest.report().ram.normal > 0 }
                migrate.signal(number)
                #expect(try await migrate.exitCode() == 1, "\(migrate.log)")
                #expect(migrate.log.contains("interrupt again to leave the migration to itself"), "\(migrate.log)")
                try await guest.expectGuestIsStillHere(.cancelled)
            }
        }

        @Test func `A second signal ends 'migrate' and leaves the migration to itself`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "64MiB")
                let destination = try await guests.waiting()
                let migrate = guests.keep(try slowMigration(of: guest, to: destination))
                try await eventually("the first round sends") { try await guest.report().ram.normal > 0 }
                // Stopped, it cannot answer that it has cancelled.
                guest.signal(SIGSTOP)
                migrate.signal(SIGTERM)
                try await eventually("the command cancels") { migrate.log.contains("interrupt again") }
                migrate.signal(SIGHUP)
                #expect(try await migrate.exitCode() == -SIGHUP, "\(migrate.log)")
                guest.signal(SIGCONT)
            }
        }

        @Test(arguments: [SIGINT, SIGTERM])
        func `A signal to 'memory-stats --watch' ends it, and the guest is not asked any longer`(_ number: Int32) async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "16MiB")
                let watch = guests.keep(try Command(["memory-stats", "--watch", "--control", guest.control]))
                let client = try await guest.connect()
                try await eventually("the guest is asked") { try await client.statisticsPeriod() == 1 }
                watch.signal(number)
                #expect(try await watch.exitCode() == 0, "\(watch.log)")
                #expect(try await client.statisticsPeriod() == 0)
            }
        }

        private func slowMigration(of guest: GuestChild, to destination: GuestChild) throws -> Command {
            let arguments = ["migrate", "--control", guest.control, try destination.incoming, "--bandwidth-limit", "20M", "--no-hints"]
            return try Command(arguments)
        }

        @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
        func `When a signal ends a demo, its guests and its folder go too`(_ number: Int32) async throws {
            try await withGuests { guests in
                let arguments = ["demo", "--memory", "256MiB", "--workload", "churn"]
                let demo = guests.keep(try Command(arguments))
                try await demo.awaitGuests()
                demo.signal(number)
                #expect(try await demo.exitCode() == 128 + number, "\(demo.log)")
                #expect(demo.children.isEmpty && demo.files.isEmpty, "\(demo.children) \(demo.files)")
            }
        }

        @Test func `When a demo is killed, its guests end too`() async throws {
            try await withGuests { guests in
                let demo = guests.keep(try Command(["demo", "--memory", "256MiB", "--workload", "churn"]))
                try await demo.awaitGuests()
                demo.signal(SIGKILL)
                _ = try await demo.exitCode()
                try await eventually("its guests end", within: .seconds(5)) { demo.children.isEmpty }
            }
        }

        @Test(arguments: [[SIGTERM], [SIGHUP], [SIGINT, SIGINT]]
        )
        func `When a signal ends a hunt, its guests and its folder go too`(_ numbers: [Int32]) async throws {
            try await withGuests { guests in
                let arguments = ["stress", "--minutes", "1", "--keep", guests.path("finds")]
                let stress = guests.keep(try Command(arguments))
                for number in numbers {
                    try await stress.awaitGuests()
                    stress.signal(number)
                    if numbers.count > 1 { try await eventually("it is heard") { stress.log.contains("ending after this round") } }
                }
                #expect(try await stress.exitCode() == 128 + numbers[0], "\(stress.log)")
                #expect(stress.children.isEmpty && stress.files.isEmpty, "\(stress.children) \(stress.files)")
                #expect(!stress.log.contains("FIND"), "\(stress.log)")
            }
        }
    }
}
