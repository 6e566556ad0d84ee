import AerostatControl
import AerostatHost
import AerostatMigration
import AerostatQMP
import Testing

/// Eight clients may use every command. Any number of later ones may use commands that are done at once.
@Suite(.timeLimit(.minutes(1))) struct ControlPlacesTests {
    private func clients(_ count: Int, at path: String) throws -> [Client] {
        try (0..<count).map { _ in try Client(path) }
    }

    /// A raw client that has negotiated, in a class so that it can be in an array.
    private final class Client {
        private var raw: RawClient

        init(_ path: String) throws {
            raw = try RawClient(path)
            try raw.negotiate()
        }

        func send(_ command: String) { raw.send(#"{"execute": "\#(command)"}"#) }
        func receive() throws -> JSONValue? { try raw.receive() }

        /// Returns the answer, and skips the events before it.
        func ask(_ command: String) throws -> JSONValue? {
            send(command)
            var reply = try receive()
            while reply?["event"] != nil { reply = try receive() }
            return reply
        }
    }

    @Test func `a ninth client may ask, stop, cancel and quit, and is told the limit for other commands`() async throws {
        try await withServer { machine, server in
            let first = try clients(8, at: server.path)
            let ninth = try Client(server.path)
            #expect(try ninth.ask("query-status")?["return"]?["status"] == "running")
            for command in ["query-migrate", "query-commands", "stop", "cont", "migrate_cancel"] {
                #expect(try ninth.ask(command)?["return"] != nil, "\(command)")
            }
            let refusal = try ninth.ask("check-guest")?["error"]?["desc"]?.string ?? ""
            #expect(refusal.contains("check-guest") && refusal.contains("the first 8 clients"), "\(refusal)")
            for client in first { #expect(try client.ask("check-guest")?["return"] != nil) }
            #expect(try ninth.ask("quit")?["return"] != nil)
            #expect(machine.isQuit)
        }
    }

    @Test func `a ninth client is answered while the others' commands block`() async throws {
        try await withServer { machine, server in
            let first = try clients(8, at: server.path)
            machine.closeGate()
            for client in first { client.send("check-guest") }
            machine.waitForChecks(8)
            let later = try clients(8, at: server.path)
            for client in later { #expect(try client.ask("query-status")?["return"] != nil) }
            #expect(try later[7].ask("stop")?["return"] != nil)
            #expect(try first[0].receive()?["event"] == "STOP")
            #expect(try later[3].ask("quit")?["return"] != nil)
            machine.openGate()
            for client in first { while try client.receive()?["return"]?["pages-checked"] != 7 {} }
        }
    }

    @Test func `a place that becomes free goes to the client that came next`() async throws {
        try await withServer { _, server in
            var first = try clients(8, at: server.path)
            let later = try clients(2, at: server.path)
            #expect(try later[0].ask("check-guest")?["error"] != nil)
            first.removeFirst()
            // The server notices it after some time.
            while try later[0].ask("check-guest")?["error"] != nil { try await Task.sleep(for: .milliseconds(2)) }
            #expect(try later[1].ask("check-guest")?["error"] != nil)
            for client in first { #expect(try client.ask("check-guest")?["return"] != nil) }
            // A value may end after its last use: the first of them would close its connection and give its place to the second.
            withExtendedLifetime(later) {}
        }
    }

    @Test func `among many clients, the later one that was quiet the longest is dropped and told so`() async throws {
        try await withServer { _, server in
            let first = try clients(8, at: server.path)
            let later = try clients(8, at: server.path)
            // The first of them asks again, so now the second has been quiet the longest.
            #expect(try later[0].ask("query-status")?["return"] != nil)
            let newcomer = try Client(server.path)
            #expect(try newcomer.ask("migrate_cancel")?["return"] != nil)
            var last: JSONValue?
            while let message = try later[1].receive() { last = message }
            #expect(last?["error"]?["desc"]?.string?.contains("made room") == true, "\(last as Any)")
            for client in first + [later[0]] + later[2...] { #expect(try client.ask("query-status")?["return"] != nil) }
        }
    }

    @Test func `a hundred idle connections do not prevent a quit`() async throws {
        try await withServer { machine, server in
            var idle: [Client] = []
            for _ in 0..<100 { idle.append(try Client(server.path)) }
            let client = try await ControlClient.connect(to: server.path)
            #expect(try await client.runState() == .running)
            _ = try await client.execute("quit")
            #expect(machine.isQuit)
            #expect(try idle[7].ask("check-guest")?["return"] != nil, "the first eight stay")
        }
    }

    @Test func `a client that was sent away reports why`() async throws {
        try await withServer { _, server in
            let first = try clients(8, at: server.path)
            let client = try await ControlClient.connect(to: server.path)
            let later = try clients(8, at: server.path)
            let error = await #expect(throws: ControlError.self) { _ = try await client.runState() }
            #expect(error?.description.contains("ended the connection: ") == true && error?.description.contains("made room") == true)
            #expect(first.count + later.count == 16)
        }
    }
}
