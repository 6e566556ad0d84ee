import AerostatControl
import AerostatHost
import AerostatMigration
import AerostatQMP
import Glibc
import Logging
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct ControlServerTests {
    private func errorClass(_ reply: JSONValue?) -> String? { reply?["error"]?["class"]?.string }

    @Test func `the server greets, and accepts neither a command before the negotiation nor a second negotiation`() async throws {
        try await withServer { _, server in
            var client = try RawClient(server.path)
            let greeting = try client.receive()
            #expect(greeting?["QMP"]?["capabilities"] == [])
            #expect(greeting?["QMP"]?["version"]?["qemu"]?["major"]?.integer != nil)
            client.send(#"{"execute": "query-status", "id": 7}"#)
            let early = try client.receive()
            #expect(errorClass(early) == "CommandNotFound")
            #expect(early?["id"] == 7)
            client.send(#"{"execute": "qmp_capabilities"}"#)
            #expect(try client.receive() == ["return": [:]])
            client.send(#"{"execute": "qmp_capabilities"}"#)
            #expect(errorClass(try client.receive()) == "CommandNotFound")
        }
    }

    @Test(arguments: [
        (#"{"execute": "fly"}"#, "CommandNotFound", "The command fly has not been found"),
        (#"{"execute": "migrate"}"#, "GenericError", "Parameter 'uri' is missing"),
        (#"{"execute": "migrate", "arguments": {"uri": 3}}"#, "GenericError", "Invalid parameter type for 'uri', expected: string"),
        (#"{"execute": "stop", "arguments": {"now": true}}"#, "GenericError", "Parameter 'now' is unexpected"),
        (#"{"execute": "stop", "then": "cont"}"#, "GenericError", "QMP input member 'then' is unexpected"),
        (#"{"arguments": {}}"#, "GenericError", "QMP input lacks member 'execute'"),
        (#"{"execute": 1}"#, "GenericError", "QMP input member 'execute' must be a string"),
        (#"{"execute": "stop", "arguments": []}"#, "GenericError", "QMP input member 'arguments' must be an object"),
        (#"["stop"]"#, "GenericError", "QMP input must be a JSON object"),
        (
            #"{"execute": "migrate-set-parameters", "arguments": {"downtime-limit": 2000001}}"#, "GenericError",
            "downtime-limit must be from 0 to 2000000 ms"
        ),
        (
            #"{"execute": "migrate-set-parameters", "arguments": {"timeout": -1}}"#, "GenericError",
            "Parameter 'timeout' expects a number that is not negative"
        ),
        (
            #"{"execute": "migrate-set-parameters", "arguments": {"on-timeout": "wait"}}"#, "GenericError",
            "Parameter 'on-timeout' does not accept value 'wait'"
        ),
        (
            #"{"execute": "migrate-set-capabilities", "arguments": {"capabilities": [{"capability": "xbzrle", "state": true}]}}"#,
            "GenericError", "Migration capability 'xbzrle' is not supported"
        ),
    ])
    func `an invalid request gets an error, and the connection stays`(_ request: String, _ kind: String, _ words: String) async throws {
        try await withServer { _, server in
            var client = try RawClient(server.path)
            try client.negotiate()
            client.send(request)
            let reply = try client.receive()
            #expect(reply == ["error": ["class": .string(kind), "desc": .string(words)]])
            client.send(#"{"execute": "query-status", "id": "after"}"#)
            #expect(try client.receive() == ["return": ["running": true, "status": "running"], "id": "after"])
        }
    }

    @Test(arguments: [
        "}{\n", "nonsense\n", "{\"execute\": \"stop\n", "{\"execute\": nonsense}", "[1, 2}", "\u{1}\u{2}\n", "{\"a\": 1 \"b\": 2}",
        "]]]]\n",
        "{\"a\": {\"b\": [tru]}}", "\"\\ud800\"\n", String(repeating: "[", count: 1000) + "\n",
    ])
    func `invalid JSON is an error, and the next command is carried out`(_ garbage: String) async throws {
        try await withServer { _, server in
            var client = try RawClient(server.path)
            try client.negotiate()
            client.send(garbage + #"{"execute": "query-status", "id": 1}"#)
            var reply = try client.receive()
            #expect(errorClass(reply) == "GenericError")
            while reply?["error"] != nil { reply = try client.receive() }
            #expect(reply?["id"] == 1)
        }
    }

    @Test func `random bytes neither stop the server nor disturb other clients`() async throws {
        var random = SeededGenerator.forTest()
        try await withServer { _, server in
            var witness = try RawClient(server.path)
            try witness.negotiate()
            for _ in 0..<50 {
                var client = try RawClient(server.path)
                try client.negotiate()
                let alphabet = Array("{}[]\",:\\ \n0e-tfn".utf8)
                let count = Int.random(in: 1...2000, using: &random)
                let bytes = (0..<count).map { _ in
                    Bool.random(using: &random) ? alphabet.randomElement(using: &random)! : UInt8.random(in: 0...255, using: &random)
                }
                client.send(bytes)
                client.send([0xff] + Array(#"{"execute": "query-status", "id": "after"}"#.utf8))
                client.endSending()
                var last: JSONValue?
                while let reply = try client.receive() { last = reply }
                #expect(last?["id"] == "after")
                witness.send(#"{"execute": "query-status", "id": 2}"#)
                #expect(try witness.receive()?["id"] == 2)
            }
        }
    }

    @Test func `commands may follow each other without line ends, and are answered in order after the client ended its side`() async throws
    {
        try await withServer { _, server in
            var client = try RawClient(server.path)
            client.send(#"{"execute":"qmp_capabilities"}{"execute":"query-version","id":1}{"execute":"query-commands","id":{"a":[2]}}"#)
            client.endSending()
            _ = try client.receive()
            #expect(try client.receive() == ["return": [:]])
            #expect(try client.receive()?["id"] == 1)
            let commands = try client.receive()
            #expect(commands?["id"] == ["a": [2]])
            #expect(commands?["return"]?.array?.contains(["name": "migrate_cancel"]) == true)
            #expect(try client.receive() == nil)
        }
    }

    @Test(arguments: [
        "7", "0", "-0", "9223372036854775807", "9223372036854775808", "12345678901234567890", "-12345678901234567890", "1.0", "1e2", "1E+2",
        "1e400", "0.1", "null", "true", #""""#, #""12345678901234567890""#, #""\"\\é\n""#, "[]", "{}",
        "[12345678901234567890, [1.50, null]]",
        #"{"a": {"b": 18446744073709551616}, "c": [-0]}"#,
    ])
    func `an id is returned unchanged, even with a refusal`(_ id: String) async throws {
        try await withServer { _, server in
            var client = try RawClient(server.path)
            try client.negotiate()
            client.send(#"{"execute": "query-status", "id": \#(id)}{"execute": "fly", "id": \#(id)}"#)
            for answer in ["return", "error"] {
                let reply = try #require(try client.receive())
                #expect(reply[answer] != nil)
                #expect(reply["id"]?.text() == id)
            }
        }
    }

    @Test func `an unfinished request is an error when the client closes its side`() async throws {
        try await withServer { _, server in
            var client = try RawClient(server.path)
            try client.negotiate()
            client.send(#"{"execute": "stop", "arguments": ["#)
            client.endSending()
            #expect(try client.receive()?["error"]?["desc"] == "JSON parse error, the input ends inside a document")
            #expect(try client.receive() == nil)
        }
    }

    @Test func `system_powerdown and POWERDOWN have QEMU's names`() throws {
        let commands = FakeMachine().commands
        #expect(try commands.prepare("system_powerdown", [:]).isBrief)
        #expect(throws: QMPError.self) { _ = try commands.prepare("system_powerdown", ["hard": true]) }
        #expect(Event(message: ["event": "POWERDOWN"]) == .powerDown)
    }

    @Test func `the set of another capability is served, listed and refused like the machine's own, and its events are heard`() async throws
    {
        try await withTemporaryFolder { folder in
            var commands = FakeMachine().commands
            commands.add(Lamp.commands)
            let server = try await ControlServer.listen(path: folder + "/control", commands: commands, logger: Logger(label: "test"))
            let client = try await ControlClient.connect(to: server.path)
            #expect(try await client.execute(.lamp, Lamp(isOn: true)) == true)
            #expect(try await client.execute("query-commands").array?.contains(["name": "lamp"]) == true)
            await #expect(throws: ControlError.refused(command: "lamp", QMPError("Parameter 'on' is missing"))) {
                try await client.execute("lamp")
            }
            await #expect(throws: ControlError.refused(command: "lump", QMPError(.commandNotFound, "The command lump has not been found")))
            {
                try await client.execute("lump")
            }
            let change = Event.other("LAMP_CHANGE", data: ["on": true])
            server.broadcast(change)
            var events = client.events.makeAsyncIterator()
            #expect(await events.next() == change)
            await server.close()
        }
    }

    @Test func `a request over 64 KiB is refused and the connection closed`() async throws {
        try await withServer { _, server in
            var client = try RawClient(server.path)
            try client.negotiate()
            client.send(#"{"execute": ""# + String(repeating: "a", count: 70_000))
            #expect(try client.receive()?["error"]?["desc"]?.string?.contains("longer than 65536 bytes") == true)
            #expect(try client.receive() == nil)
        }
    }

    @Test func `a command that blocks delays neither other clients nor events`() async throws {
        try await withServer { machine, server in
            var slow = try RawClient(server.path)
            var quick = try RawClient(server.path)
            try slow.negotiate()
            try quick.negotiate()
            machine.closeGate()
            slow.send(#"{"execute": "check-guest", "id": 1}{"execute": "query-status", "id": 2}"#)
            machine.waitForChecks(1)
            quick.send(#"{"execute": "stop"}"#)
            #expect(try quick.receive()?["event"] == "STOP")
            #expect(try quick.receive() == ["return": [:]])
            #expect(try slow.receive()?["event"] == "STOP")
            machine.openGate()
            #expect(try slow.receive()?["return"]?["pages-checked"] == 7)
            #expect(try slow.receive() == ["return": ["running": false, "status": "paused"], "id": 2])
        }
    }

    @Test func `every client that has negotiated gets events, with their time`() async throws {
        try await withServer { _, server in
            var first = try RawClient(server.path)
            var second = try RawClient(server.path)
            var early = try RawClient(server.path)
            try first.negotiate()
            try second.negotiate()
            #expect(try early.receive()?["QMP"] != nil)
            server.broadcast(.migrationPass(3))
            server.broadcast(.migration(.unknown))
            for message in [try first.receive(), try second.receive()] {
                #expect(message?["event"] == "MIGRATION_PASS")
                #expect(message?["data"] == ["pass": 3])
                let seconds = try #require(message?["timestamp"]?["seconds"]?.integer)
                #expect(abs(seconds - time(nil)) < 60)
                #expect((0..<1_000_000).contains(try #require(message?["timestamp"]?["microseconds"]?.integer)))
            }
            #expect(try first.receive()?["data"] == ["status": "outcome-unknown"])
            early.send(#"{"execute": "qmp_capabilities"}"#)
            #expect(try early.receive() == ["return": [:]])
        }
    }

    @Test func `a client that does not read is dropped, and nobody waits for it`() async throws {
        try await withServer { _, server in
            var sleeper = try RawClient(server.path)
            var reader = try RawClient(server.path)
            try sleeper.negotiate()
            try reader.negotiate()
            let text = String(repeating: "x", count: 60_000)
            for count in 1...100 {
                server.broadcast(.shutdown(guest: false, reason: text))
                #expect(try reader.receive()?["event"] == "SHUTDOWN", "event \(count)")
            }
            var heard = 0
            while try sleeper.receive() != nil { heard += 1 }
            // What fits the kernel's queue and ours arrives, then the connection ends: not all of it.
            #expect((1..<100).contains(heard))
        }
    }

    @Test func `the answer to quit and the last event are sent before the socket closes`() async throws {
        try await withServer { machine, server in
            var client = try RawClient(server.path)
            try client.negotiate()
            client.send(#"{"execute": "quit", "id": "bye"}"#)
            #expect(try client.receive() == ["return": [:], "id": "bye"])
            server.broadcast(.shutdown(guest: false, reason: "host-qmp-quit"))
            await server.close()
            #expect(try client.receive()?["data"] == ["guest": false, "reason": "host-qmp-quit"])
            #expect(try client.receive() == nil)
            #expect(machine.isQuit)
        }
    }

    @Test func `all output is sent before the socket closes, even to a client that reads late`() async throws {
        try await withServer { _, server in
            var client = try RawClient(server.path)
            try client.negotiate()
            // More than the kernel's queue can hold.
            let text = String(repeating: "x", count: 60_000)
            for _ in 0..<30 { server.broadcast(.shutdown(guest: true, reason: text)) }
            async let closed: Void = server.close()
            while unsafe access(server.path, F_OK) == 0 { await Task.yield() }
            var heard = 0
            while try client.receive() != nil { heard += 1 }
            #expect(heard == 30)
            await closed
        }
    }

    @Test func `a command under way is answered when the server closes`() async throws {
        try await withServer { machine, server in
            var client = try RawClient(server.path)
            try client.negotiate()
            machine.closeGate()
            client.send(#"{"execute": "check-guest"}{"execute": "stop"}"#)
            machine.waitForChecks(1)
            async let closed: Void = server.close()
            // The path is removed first.
            while unsafe access(server.path, F_OK) == 0 { await Task.yield() }
            machine.openGate()
            #expect(try client.receive()?["return"]?["pages-checked"] == 7)
            // The next command may have begun before the server noticed the end. Then it is answered too, and nothing follows.
            if let answer = try client.receive() {
                #expect(answer["return"] != nil)
                #expect(try client.receive() == nil)
            }
            await closed
        }
    }

    @Test func `clients that connect while the server closes see their connection end`() async throws {
        for _ in 0..<100 {
            try await withServer { _, server in
                let path = server.path
                let silent = Locked(0)
                let clients = try (0..<6).map { _ in
                    try HostThread(name: "client") {
                        // Until nobody listens any more.
                        while var client = try? RawClient(path) {
                            client.endSending()
                            do { while try client.receive() != nil {} } catch { silent.withLock { $0 += 1 } }
                        }
                    }
                }
                // By then the server is serving them.
                var first = try RawClient(path)
                _ = try first.receive()
                await server.close()
                for client in clients { client.join() }
                #expect(silent.withLock { $0 } == 0)
            }
        }
    }

}

/// The arguments of a command that no machine has.
private struct Lamp: CommandArguments {
    let isOn: Bool

    init(isOn: Bool) { self.isOn = isOn }
    init(_ reader: inout ArgumentReader) throws(QMPError) { isOn = try reader.take("on", as: .boolean) }
    var arguments: [String: JSONValue] { ["on": .bool(isOn)] }

    static var commands: CommandSet {
        var set = CommandSet()
        set.answer(.lamp) { (lamp: Lamp) in .bool(lamp.isOn) }
        return set
    }
}

extension CommandDeclaration<Lamp> {
    fileprivate static var lamp: Self { Self("lamp", isBrief: true) }
}
