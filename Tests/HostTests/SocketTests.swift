import AerostatHost
import Glibc
import TestSupport
import Testing

@Suite struct SocketTests {
    private static func path(_ name: String) -> String { "/tmp/aerostat-test-\(getpid())-\(name)" }

    private static func error(_ address: SocketAddress) -> SocketError? {
        do throws(SocketError) {
            _ = try ListeningSocket(address)
            return nil
        } catch { return error }
    }

    private func isAccepted(_ listener: borrowing ListeningSocket) throws -> Bool {
        guard let connection = try listener.accept(unlessRung: try Doorbell()) else { return false }
        return connection.number >= 0
    }

    @Test func `The path of a dead socket is taken over, and removed at the end`() throws {
        let path = Self.path("stale")
        try bindAndForget(path)
        unsafe #expect(access(path, F_OK) == 0)
        do {
            let listener = try ListeningSocket(.unix(path: path))
            _ = try connectSocket(to: listener.address)
            #expect(try isAccepted(listener))
        }
        unsafe #expect(access(path, F_OK) != 0)
    }

    /// A bound socket whose process is gone. The file stays.
    private func bindAndForget(_ path: String) throws {
        let listener = try ListeningSocket(.unix(path: path + ".x"))
        unsafe #expect(rename(path + ".x", path) == 0)
        _ = listener.number
    }

    @Test func `A live socket, or any other file, is left alone`() throws {
        let path = Self.path("live")
        let listener = try ListeningSocket(.unix(path: path))
        #expect("\(Self.error(.unix(path: path)) as Any)".contains("in use"))
        _ = try connectSocket(to: listener.address)
        let file = Self.path("file")
        try TestFile(file).finish(byteCount: 1)
        #expect(Self.error(.unix(path: file)) != nil)
        unsafe #expect(access(file, F_OK) == 0)
        unsafe unlink(file)
    }

    @Test func `A file that replaced the socket in the meantime is not removed`() throws {
        let path = Self.path("replaced")
        do {
            let listener = try ListeningSocket(.unix(path: path))
            unsafe unlink(path)
            try TestFile(path).finish(byteCount: 1)
            _ = listener.number
        }
        unsafe #expect(access(path, F_OK) == 0)
        unsafe unlink(path)
    }

    @Test func `Impossible addresses are refused with a reason`() throws {
        let long = "/tmp/" + String(repeating: "x", count: 103)
        guard case .pathTooLong? = Self.error(.unix(path: long)) else {
            Issue.record("not refused")
            return
        }
        #expect(throws: SocketError.self) { _ = try connectSocket(to: .unix(path: long)) }
        guard case .unknownHost? = Self.error(.tcp(host: "no-such-host.invalid", port: 1)) else {
            Issue.record("resolved")
            return
        }
        #expect(throws: SocketError.self) { _ = try connectSocket(to: .unix(path: Self.path("nothing"))) }
        #expect("\(Self.error(.unix(path: "/nowhere/at/all")) as Any)".contains("/nowhere/at/all"))
    }

    @Test func `The longest path works`() throws {
        let stem = Self.path("")
        let path = stem + String(repeating: "y", count: 107 - stem.utf8.count)
        let listener = try ListeningSocket(.unix(path: path))
        _ = try connectSocket(to: listener.address)
    }

    @Test(arguments: ["", "/tmp/a\0b"])
    func `A path that names no file is neither served nor reached`(_ path: String) {
        #expect(throws: SocketError.self) { _ = try ListeningSocket(.unix(path: path)) }
        #expect(throws: SocketError.self) { _ = try connectSocket(to: .unix(path: path)) }
    }

    @Test func `A port can be taken once, and the kernel's choice of a free one is named`() throws {
        let listener = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0))
        guard case .tcp(_, let port) = listener.address else { return #expect(Bool(false), "not a TCP address: \(listener.address)") }
        #expect(port != 0)
        #expect("\(Self.error(listener.address) as Any)".contains("in use"))
        _ = try connectSocket(to: listener.address)
        #expect(try isAccepted(listener))
    }

    @Test func `A ring ends the wait for a connection, and is left for its owner`() throws {
        let listener = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0))
        let doorbell = try Doorbell()
        doorbell.ring()
        let connection = try listener.accept(unlessRung: doorbell)
        if connection != nil { Issue.record("nobody connected") }
        #expect(doorbell.answer())
    }

    @Test func `Only connected stream sockets count as links`() throws {
        let (a, b) = try connectedSockets()
        let first = OwnedDescriptor(adopting: a)
        let second = OwnedDescriptor(adopting: b)
        #expect(isConnectedStreamSocket(first.number) && isConnectedStreamSocket(second.number))
        #expect(!isConnectedStreamSocket(try ListeningSocket(.tcp(host: "127.0.0.1", port: 0)).number))
        #expect(!isConnectedStreamSocket(0) && !isConnectedStreamSocket(9999))
        #expect(!isConnectedStreamSocket(try Doorbell().descriptor))
    }
}
