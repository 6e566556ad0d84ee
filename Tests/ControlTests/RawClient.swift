import AerostatControl
import AerostatHost
import AerostatQMP
import Foundation
import Glibc
import Logging
import Testing

/// A client that does not keep to the protocol: sends any bytes, and reads lines.
struct RawClient: ~Copyable {
    private let socket: OwnedDescriptor
    private var unread: [UInt8] = []

    init(_ path: String) throws { socket = try connectSocket(to: .unix(path: path)) }

    /// - Returns: whether the kernel took all of it.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes[sent...].withUnsafeBytes {
                unsafe Glibc.send(socket.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }

    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    /// Closes the sending side: no more requests come.
    func endSending() { shutdown(socket.number, Int32(SHUT_WR)) }

    /// The next line as a document; `nil` if the server closed the connection. A server that is silent for 10 s fails the test.
    mutating func receive() throws -> JSONValue? {
        while true {
            if let end = unread.firstIndex(of: 0x0a) {
                defer { unread.removeSubrange(...end) }
                return try JSONParser.parse(unread[..<end], limits: .reply)
            }
            var entry = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
            try #require(unsafe poll(&entry, 1, 10_000) > 0, "the server is silent")
            var buffer = [UInt8](repeating: 0, count: 65536)
            let count = unsafe read(socket.number, &buffer, buffer.count)
            if count <= 0 { return nil }
            unread += buffer[..<count]
        }
    }

    /// Reads the greeting and negotiates.
    mutating func negotiate() throws {
        let greeting = try receive()
        try #require(greeting?["QMP"] != nil)
        send(#"{"execute": "qmp_capabilities"}"#)
        let reply = try receive()
        try #require(reply?["return"] == [:])
    }
}

/// Serves a control socket in a fresh folder, and closes and removes it afterwards.
func withServer(_ body: (FakeMachine, ControlServer) async throws -> Void) async throws {
    try await withTemporaryFolder { folder in
        let machine = FakeMachine()
        let server = try await ControlServer.listen(path: folder + "/control", commands: machine.commands, logger: Logger(label: "test"))
        machine.attach(server)
        let result: Result<Void, any Error>
        do { result = .success(try await body(machine, server)) } catch { result = .failure(error) }
        machine.openGate()
        await server.close()
        // The two hold references to each other.
        machine.attach(nil)
        try result.get()
    }
}

/// A fresh folder that is removed with its content. (Not a value that cleans up in its deinit: a value may end after its last use.)
func withTemporaryFolder(_ body: (String) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "aerostat-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    try await body(folder.path)
}
