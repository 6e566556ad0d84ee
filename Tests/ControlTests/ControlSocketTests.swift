import AerostatControl
import AerostatHost
import AerostatQMP
import Glibc
import Logging
import Testing

/// The file of the socket: who may open it, what it replaces, and what it refuses.
@Suite(.timeLimit(.minutes(1))) struct ControlSocketTests {
    private let logger = Logger(label: "test")

    private func status(_ path: String) -> stat? {
        var status = stat()
        return unsafe lstat(path, &status) == 0 ? status : nil
    }

    @Test func `only the owner may open the socket, and it is removed at the end`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/control"
            let server = try await ControlServer.listen(path: path, commands: FakeMachine().commands, logger: logger)
            #expect(status(path).map { $0.st_mode & 0o7777 } == 0o600)
            await server.close()
            #expect(status(path) == nil)
        }
    }

    @Test func `a socket that was left behind is replaced`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/control"
            // A listener that dies without cleaning up. A second name for its socket remains.
            do {
                let dead = try ListeningSocket(.unix(path: folder + "/other"))
                #expect(unsafe link(folder + "/other", path) == 0)
                _ = consume dead
            }
            #expect(status(path) != nil)
            let server = try await ControlServer.listen(path: path, commands: FakeMachine().commands, logger: logger)
            _ = try await ControlClient.connect(to: path).runState()
            await server.close()
        }
    }

    @Test func `a socket in use is left alone`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/control"
            let server = try await ControlServer.listen(path: path, commands: FakeMachine().commands, logger: logger)
            await #expect(throws: ControlError.inUse(path)) {
                _ = try await ControlServer.listen(path: path, commands: FakeMachine().commands, logger: logger)
            }
            #expect(try await ControlClient.connect(to: path).runState() == .running)
            await server.close()
        }
    }

    @Test func `a file that is no socket is left alone`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/other"
            close(unsafe creat(path, 0o600))
            await #expect(throws: ControlError.self) {
                _ = try await ControlServer.listen(path: path, commands: FakeMachine().commands, logger: logger)
            }
            #expect(status(path).map { $0.st_mode & S_IFMT } == S_IFREG)
        }
    }

    @Test func `a socket that replaced ours at its path is not removed`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/control"
            let first = try await ControlServer.listen(path: path, commands: FakeMachine().commands, logger: logger)
            unsafe unlink(path)
            let second = try await ControlServer.listen(path: path, commands: FakeMachine().commands, logger: logger)
            await first.close()
            #expect(try await ControlClient.connect(to: path).runState() == .running)
            await second.close()
        }
    }

    @Test func `unusable paths are refused with the cause`() async throws {
        let long = "/tmp/" + String(repeating: "a", count: 200)
        await #expect(throws: ControlError.pathTooLong(long)) {
            _ = try await ControlServer.listen(path: long, commands: FakeMachine().commands, logger: logger)
        }
        await #expect(throws: ControlError.cannotListen("/nowhere/control", reason: "its folder does not exist")) {
            _ = try await ControlServer.listen(path: "/nowhere/control", commands: FakeMachine().commands, logger: logger)
        }
        await #expect(throws: ControlError.noListener("/nowhere/control")) { _ = try await ControlClient.connect(to: "/nowhere/control") }
    }

    @Test(arguments: [1, 100, 103, 104, 105, 106, 107])
    func `a server and a client can use a path of any length that a socket can have`(_ count: Int) async throws {
        try await withTemporaryFolder { folder in
            // One byte: a path relative to the working directory.
            let path = count == 1 ? "c" : folder + "/" + String(repeating: "c", count: count - folder.utf8.count - 1)
            try #require(path.utf8.count == count)
            defer { unsafe unlink(path) }
            let server = try await ControlServer.listen(path: path, commands: FakeMachine().commands, logger: logger)
            #expect(try await ControlClient.connect(to: path).runState() == .running)
            await server.close()
        }
    }

    @Test(arguments: ["", "/tmp/" + String(repeating: "c", count: 103), "/tmp/a\0b"])
    func `server and client refuse an impossible path in the same words`(_ path: String) async throws {
        let served = await #expect(throws: ControlError.self) {
            _ = try await ControlServer.listen(path: path, commands: FakeMachine().commands, logger: logger)
        }
        let reached = await #expect(throws: ControlError.self) { _ = try await ControlClient.connect(to: path) }
        #expect(served == reached)
        if path.isEmpty { #expect(served?.description == "the control socket needs a path, not an empty text") }
    }

    @Test func `a client waits for its turn if many arrive at once`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/control"
            let busy = try ListeningSocket(.unix(path: path))
            // More than the kernel's queue can hold.
            let clients = (0..<24).map { _ in Task { try await ControlClient.connect(to: path) } }
            try await Task.sleep(for: .milliseconds(50))
            let doorbell = try Doorbell()
            let ending = Task {
                for client in clients { _ = await client.result }
                doorbell.ring()
            }
            while let client = try busy.accept(unlessRung: doorbell) {
                func say(_ words: String) { #expect(unsafe write(client.number, words, words.utf8.count) == words.utf8.count) }
                say("{\"QMP\": {}}\r\n")
                var request = [UInt8](repeating: 0, count: 4096)
                _ = unsafe read(client.number, &request, request.count)
                say("{\"return\": {}, \"id\": 1}\r\n")
            }
            await ending.value
            for client in clients { _ = try await client.value }
        }
    }

    @Test func `a silent listener, and one that does not speak QMP, are not taken for a guest`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/control"
            let silent = try ListeningSocket(.unix(path: path))
            await #expect(throws: ControlError.timedOut("the control socket \(path)", seconds: 1)) {
                _ = try await ControlClient.connect(to: path, timeout: 1)
            }
            let doorbell = try Doorbell()
            guard let first = try silent.accept(unlessRung: doorbell) else { preconditionFailure("nobody rings") }
            _ = consume first
            let client = Task { try await ControlClient.connect(to: path, timeout: 5) }
            guard let second = try silent.accept(unlessRung: doorbell) else { preconditionFailure("nobody rings") }
            #expect(unsafe write(second.number, "220 mail\r\n", 10) == 10)
            await #expect(throws: ControlError.self) { _ = try await client.value }
        }
    }
}
