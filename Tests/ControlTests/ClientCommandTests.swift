import AerostatControl
import AerostatHost
import AerostatMigration
import AerostatQMP
import Foundation
import Testing

/// The command, in the folder of the test bundle.
private let program: String? = {
    let path = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "aerostat").path
    return FileManager.default.isExecutableFile(atPath: path) ? path : nil
}()

/// The subcommands that talk to a control socket, run as processes: what they print, and their exit codes.
@Suite(.enabled(if: program != nil, "the aerostat command is not built"), .timeLimit(.minutes(2)))
struct ClientCommandTests {
    private func aerostat(_ arguments: String..., whenStarted: @escaping @Sendable (Process) -> Void = { _ in }) async throws -> Ended {
        try await runProgramAside(try #require(program), arguments, whenStarted: whenStarted)
    }

    @Test func `status, pause and resume`() async throws {
        try await withServer { _, server in
            var ended = try await aerostat("status", "--control", server.path)
            #expect(ended.status == 0)
            #expect(ended.output == "running: the guest runs in this process\n")
            #expect(try await aerostat("pause", "--control", server.path).output == "the guest is paused\n")
            ended = try await aerostat("status", "--json", "--control", server.path)
            #expect(try JSONParser.parse(ended.output.utf8, limits: .reply) == ["running": false, "status": "paused"])
            #expect(try await aerostat("resume", "--control", server.path).output == "the guest is running\n")
        }
    }

    @Test(arguments: [
        ("moved", Int32(0), "the migration completed in 12 ms; the guest now runs at the destination"),
        ("failing", 1, "the migration failed after 12 ms: the link was cut in round 1; the guest is still running at the source"),
        ("differing", 2, "verification found a difference; the migration failed after 12 ms; the guest is still running at the source"),
        ("unknown", 3, "the outcome is unknown after 12 ms; the guest is paused here and may be running at the destination."),
    ])
    func `a migration says what happened and where the guest runs`(_ scenario: String, _ status: Int32, _ words: String) async throws {
        try await withServer { _, server in
            let ended = try await aerostat("migrate", "--control", server.path, "unix:/nowhere/\(scenario)")
            #expect(ended.status == status)
            #expect(ended.output.hasPrefix(words), "\(ended.output)")
            // Progress lines describe only the progress; the outcome has its own lines.
            #expect(!ended.errors.contains("failed, round"), "\(ended.errors)")
        }
    }

    @Test(arguments: [
        ("failing", "running: the guest runs in this process; it never left\nthe migration failed after 12 ms: the link was cut"),
        ("slow", "running: the guest runs in this process, until it is switched over\n"),
        ("moved", "postmigrate: the guest has left this process for unix:/nowhere/moved\nthe migration completed in 12 ms"),
        ("unknown", "postmigrate: the guest is paused here and may be running at the destination."),
    ])
    func `status says where the guest is after a migration`(_ scenario: String, _ words: String) async throws {
        try await withServer { _, server in
            let client = try await ControlClient.connect(to: server.path)
            _ = try await client.execute("migrate", ["uri": .string("unix:/nowhere/\(scenario)")])
            let ended = try await aerostat("status", "--control", server.path)
            #expect(ended.output.hasPrefix(words), "\(ended.output)")
            guard scenario == "unknown" else { return }
            // A person vouches that the destination does not run the guest, and brings it back.
            _ = try await client.execute("cont", ["force": true])
            let back = try await aerostat("status", "--control", server.path)
            #expect(back.output.hasPrefix("running: the guest runs in this process again: it was resumed with --force\n"), "\(back.output)")
        }
    }

    @Test(arguments: [
        (["--bandwidth-limit", "8"], "'--bandwidth-limit <rate>': '8': less than 32.768 kbit/s"),
        (["--bandwidth-limit", "32767"], "'32767': less than 32.768 kbit/s"),
        (["--downtime-limit", "2001s"], "'--downtime-limit <time>': '2001s': more than 2000s"),
        (["--hint-grace", "60.5s"], "'--hint-grace <time>': '60.5s': more than 60s"),
        (["--timeout", "0s"], "--timeout must be more than 0 ms"),
    ])
    func `a limit out of its range is refused with the option's name and the text as it was typed`(
        _ arguments: [String],
        _ words: String
    ) async throws {
        try await withServer { machine, server in
            let arguments = ["migrate", "--control", server.path, "tcp:localhost:1"] + arguments
            let ended = try await runProgramAside(try #require(program), arguments)
            #expect(ended.status == 64 && ended.errors.contains(words), "\(ended)")
            #expect(machine.parameters == MigrationParameters())
        }
    }

    @Test(arguments: [
        (["--bandwidth-limit", "32768"], "max-bandwidth", 4096), (["--downtime-limit", "0.5ms"], "downtime-limit", 1),
        (["--downtime-limit", "2000s"], "downtime-limit", 2_000_000), (["--hint-grace", "60s"], "hint-grace", 60_000),
        (["--timeout", "0.1ms"], "timeout", 1), (["--timeout", "10s"], "hint-grace", 1000), (["--timeout", "500ms"], "hint-grace", 250),
        (["--timeout", "500ms", "--hint-grace", "1s"], "hint-grace", 1000),
    ])
    func `limits at the ends of their range are accepted, and a default adapts to what was typed`(
        _ arguments: [String],
        _ name: String,
        _ value: Int
    ) async throws {
        try await withServer { machine, server in
            let ended = try await runProgramAside(
                try #require(program),
                ["migrate", "--control", server.path, "tcp:localhost:1"] + arguments
            )
            #expect(ended.status == 0, "\(ended)")
            #expect(machine.parameters.json[name]?.integer == value)
        }
    }

    @Test func `--version says which Aerostat it is`() async throws {
        let ended = try await aerostat("--version")
        #expect(ended.status == 0 && ended.output == AerostatVersion.text + "\n" && ended.errors.isEmpty, "\(ended)")
    }

    @Test func `json is one document with the report, and the record holds it too`() async throws {
        try await withTemporaryFolder { folder in
            let record = folder + "/other"
            try await withServer { machine, server in
                let ended = try await aerostat(
                    "migrate",
                    "--json",
                    "--record",
                    record,
                    "--control",
                    server.path,
                    "--downtime-limit",
                    "100ms",
                    "--bandwidth-limit",
                    "8G",
                    "--timeout",
                    "10s",
                    "--on-timeout",
                    "pause",
                    "--no-hints",
                    "--hint-grace",
                    "0.5s",
                    "--verify",
                    "tcp:localhost:1"
                )
                #expect(ended.status == 0, "\(ended.errors)")
                let report = try JSONParser.parse(ended.output.utf8, limits: .reply)
                #expect(report["status"] == "completed")
                #expect(ended.errors.contains("the guest now runs at the destination"))
                let recorded = try JSONParser.parse(try Data(contentsOf: URL(filePath: record)), limits: .reply)
                #expect(recorded["report"] == report)
                #expect(recorded["samples"]?.array?.last?["sample"]?["status"] == "completed")
                #expect(
                    machine.parameters.json == [
                        "downtime-limit": 100, "max-bandwidth": 1_000_000_000, "timeout": 10_000, "on-timeout": "pause",
                        "free-page-hints": false, "hint-grace": 500, "verify": true, "image-sync": "rounds",
                    ]
                )
            }
        }
    }

    @Test func `the interrupt key cancels`() async throws {
        try await withServer { machine, server in
            let ended = try await aerostat("migrate", "--control", server.path, "unix:/nowhere/slow") { process in
                // The command handles the key by now, because it already asks about the migration.
                machine.waitForMigrationQueries(2)
                process.interrupt()
            }
            #expect(ended.status == 1)
            #expect(ended.output.contains("cancelled after 12 ms; the guest is still running at the source"), "\(ended)")
        }
    }

    @Test func `cancel ends a migration, or says that there is none`() async throws {
        try await withServer { _, server in
            #expect(try await aerostat("cancel", "--control", server.path).output.contains("nothing to cancel"))
            let client = try await ControlClient.connect(to: server.path)
            _ = try await client.execute("migrate", ["uri": "unix:/nowhere/slow"])
            let ended = try await aerostat("cancel", "--control", server.path)
            #expect(ended.status == 0)
            #expect(ended.output == "the migration was cancelled after 12 ms; the guest is still running at the source\n")
        }
    }

    @Test func `a source that dies during the migration is reported`() async throws {
        try await withServer { machine, server in
            let ended = try await aerostat("migrate", "--json", "--control", server.path, "unix:/nowhere/slow") { _ in
                machine.waitForMigrationQueries(2)
                Task { await server.close() }
            }
            #expect(ended.status == 3)
            #expect(try JSONParser.parse(ended.output.utf8, limits: .reply)["status"] == "outcome-unknown")
            #expect(ended.errors.contains("the guest is gone with it; ask the destination"), "\(ended)")
        }
    }

    @Test func `check exits with 2 if the guest is damaged`() async throws {
        try await withServer { machine, server in
            let clean = try await aerostat("check", "--control", server.path)
            #expect(clean.status == 0)
            #expect(clean.output.hasPrefix("clean: 7 pages checked, 0 wrong"))
            machine.damage()
            let damaged = try await aerostat("check", "--control", server.path)
            #expect(damaged.status == 2)
            #expect(damaged.output.contains("the first wrong page is 6: expected 1, found 0"))
        }
    }

    @Test func `refusals and invalid arguments`() async throws {
        try await withServer { _, server in
            var ended = try await aerostat("migrate", "--control", server.path, "file:/carrier/pigeon")
            #expect(ended.status == 1)
            #expect(
                ended.errors.contains("the URI 'file:/carrier/pigeon' is not understood\nthe guest is still running at the source"),
                "\(ended)"
            )
            ended = try await aerostat("dump-memory", "--control", server.path, "-o", "/nowhere/file")
            #expect(ended.status == 1)
            #expect(ended.errors == "Error: the guest's process refused: cannot save all at 0 to /nowhere/file\n")
            ended = try await aerostat("migrate", "--control", server.path, "--downtime-limit", "300", "tcp:localhost:1")
            #expect(ended.status == 64)
            #expect(ended.errors.contains("a time is a number with ms or s"), "\(ended)")
            ended = try await aerostat("status", "--control", "/nowhere/control")
            #expect(ended.status == 1)
            #expect(ended.errors == "Error: no guest listens on /nowhere/control\n")
        }
    }

    @Test func `quit waits for the end`() async throws {
        try await withServer { machine, server in
            async let ended = aerostat("quit", "--control", server.path)
            while !machine.isQuit { try await Task.sleep(for: .milliseconds(5)) }
            server.broadcast(.shutdown(guest: false, reason: "host-qmp-quit"))
            await server.close()
            #expect(try await ended == (0, "the guest's process has ended\n", ""))
        }
    }
}
