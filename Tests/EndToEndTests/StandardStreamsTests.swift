import AerostatHost
import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// The process's own streams may be closed, full, or without a reader.
    @Suite struct StandardStreams {
        private static func shell(_ script: String, _ arguments: String...) async throws -> Ended {
            try await Aerostat.run("/bin/sh", ["-c", script, "sh", Aerostat.path] + arguments)
        }

        /// A named pipe that is full, or has no reader, as long as this object lives.
        private final class TestPipe: Sendable {
            let path: String
            private let reader: OwnedDescriptor
            private let holder: OwnedDescriptor

            init(_ path: String) throws {
                self.path = path
                try #require(unsafe mkfifo(path, 0o600) == 0)
                reader = try OwnedDescriptor.open(path, flags: O_RDONLY | O_NONBLOCK)
                holder = try OwnedDescriptor.open(path, flags: O_WRONLY | O_NONBLOCK)
            }

            func fill() {
                let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 4096)
                while unsafe write(holder.number, piece, piece.count) > 0 {}
            }

            /// Everything that is in the pipe.
            func text() -> String {
                var (text, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 4096))
                while true {
                    let count = unsafe read(reader.number, &buffer, buffer.count)
                    if count <= 0 { return String(decoding: text, as: UTF8.self) }
                    text += buffer[..<count]
                }
            }
        }

        @Test(arguments: [
            ("is closed", #"exec "$@" >&-"#, "Bad file descriptor"), ("is a full disk", #"exec "$@" >/dev/full"#, "No space left"),
            // The reader ends first; the command keeps its process.
            ("has no reader", #"mkfifo "$4.p"; : <"$4.p" & exec 3>"$4.p"; wait; exec "$@" >&3 3>&-"#, "Broken pipe"),
        ]
        )
        func `A guest starts and says so in its log if standard output`(_ what: String, _ script: String, _ reason: String)
            async throws
        {
            try await withGuests { guests in
                let guest = try await guests.start(["--memory", "16MiB"], by: script)
                try await eventually("the log speaks of it") { guest.log.contains("nobody was told READY") }
                #expect(guest.log.contains(reason), "\(guest.log)")
                #expect(try await guest.state() == .running)
                try await guest.expectMigrates(guests)
            }
        }

        @Test func `A log that nobody reads stops neither a migration, nor a cancel, nor the end; lost lines are counted`()
            async throws
        {
            try await withGuests { guests in
                let pipe = try TestPipe(guests.path("log"))
                pipe.fill()
                let source = try await guests.start(["--memory", "64MiB"], by: #"exec "$@" 2>"\#(pipe.path)""#)
                let destination = try await guests.waiting()
                let migrate = try await source.migrate(to: try destination.incoming)
                #expect(migrate.code == 0, "\(migrate)")
                #expect(try await source.command("cancel").code == 0)
                var log = ""
                try await eventually("the log comes when somebody reads it") {
                    log += pipe.text()
                    return log.contains("the guest has gone to")
                }
                pipe.fill()
                let start = MonotonicClock.now()
                source.signal(SIGTERM)
                #expect(try await source.exitCode() == 0)
                #expect(start.duration(to: MonotonicClock.now()) < .seconds(5))
            }
        }

        @Test func `A guest moves with its three streams closed, and nothing that the process opens gets their numbers`() async throws {
            try await withGuests { guests in
                let guest = try await guests.start(["--memory", "16MiB"], by: #"exec "$@" <&- >&- 2>&-"#)
                for number in 0...2 {
                    let place = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(guest.identifier)/fd/\(number)")
                    #expect(place == "/dev/null", "\(number)")
                }
                try await guest.expectMigrates(guests)
            }
        }

        @Test(arguments: [">&-", ">/dev/full"])
        func `A command whose result cannot be written says so, and ends with 74`(_ redirection: String) async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "16MiB")
                let commands = [
                    ["status"], ["check", "--json"], ["pause"], ["resume"], ["cancel"], ["dump-memory", "-o", guests.path("ram")],
                ]
                for command in commands {
                    let ended = try await Aerostat.run(
                        "/bin/sh",
                        ["-c", #""$@" "# + redirection, "sh", Aerostat.path] + command + ["--control", guest.control]
                    )
                    #expect(ended.code == 74 && ended.errors.contains("could not write to standard output"), "\(command): \(ended)")
                }
                let help = try await Self.shell(#""$@" "# + redirection, "--help")
                #expect(help.code == 74 && help.errors.contains("could not write to standard output"), "\(help)")

                let destination = try await guests.waiting()
                let migrate = try await Self.shell(
                    #""$@" "# + redirection,
                    "migrate",
                    "--json",
                    "--control",
                    guest.control,
                    try destination.incoming
                )
                #expect(migrate.code == 74, "\(migrate)")
                #expect(migrate.errors.contains("could not write to standard output") && migrate.errors.contains("completed"), "\(migrate)")
                #expect(try await destination.state() == .running)
            }
        }

        @Test func `A migration that fails ends with 1, even if its result cannot be written`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "16MiB")
                let migrate = try await Self.shell(
                    #""$@" >&-"#,
                    "migrate",
                    "--control",
                    guest.control,
                    "unix:\(guests.path("nobody"))"
                )
                #expect(migrate.code == 1, "\(migrate)")
            }
        }

        @Test func `If standard error is closed, the document is printed all the same`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "16MiB")
                let destination = try await guests.waiting()
                let migrate = try await Self.shell(
                    #""$@" 2>&-"#,
                    "migrate",
                    "--json",
                    "--control",
                    guest.control,
                    try destination.incoming
                )
                #expect(migrate.code == 0 && migrate.output.contains("\"status\": \"completed\""), "\(migrate)")
                let wrong = try await Self.shell(#""$@" 2>&-"#, "status", "--control", guests.path("nobody"))
                #expect(wrong.code == 1, "\(wrong)")
                let usage = try await Self.shell(#""$@" 2>&-"#, "launch-rocket")
                #expect(usage.code == 64, "\(usage)")
            }
        }
    }
}
