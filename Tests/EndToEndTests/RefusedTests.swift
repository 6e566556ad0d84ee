import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// Migrations that must not begin.
    @Suite struct Refused {
        @Test func `a destination with another memory size refuses, and both sides name the two sizes`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting("--memory", "128MiB")
                let migrate = try await source.migrate(to: try destination.incoming)
                migrate.expectFailure("64 MiB", "128 MiB", "the guest is still running")
                try await source.expectGuestIsStillHere()
                try await destination.expectGuestDidNotCome("64 MiB", "128 MiB")
                try await source.expectMigrates(guests)
            }
        }

        /// A hello that disagrees, and the words that the refusal must contain.
        enum Disagreement: String, CaseIterable, Sendable {
            case pageSize, version, capability

            func apply(to hello: Hello) -> Hello {
                var hello = hello
                switch self {
                case .pageSize: hello.pageSize = 16384
                case .version: hello.versions = 3...4
                case .capability: hello.capabilities = Hello.Capabilities(rawValue: 1 << 63)
                }
                return hello
            }

            var words: String {
                switch self {
                case .pageSize: "pages of 16384 bytes"
                case .version: "stream versions 3 to 4"
                case .capability: "capabilities"
                }
            }
        }

        @Test(arguments: Disagreement.allCases)
        func `a source that disagrees is refused with the reason`(_ disagreement: Disagreement) async throws {
            try await withGuests { guests in
                let destination = try await guests.waiting()
                let uri = try destination.incoming
                let answer = try await aside { () -> Frame? in
                    let peer = try FrameSocket(connectingTo: uri)
                    peer.send(Frame.hello(disagreement.apply(to: try .someGuest)).encode(sequence: 0))
                    return try peer.receiveDecodedFrame()
                }
                guard case .abort(let reason)? = answer else { throw TooLate(description: "answered with \(String(describing: answer))") }
                #expect(reason.contains(disagreement.words), "\(reason)")
                try await destination.expectGuestDidNotCome("refused the source", disagreement.words)
            }
        }

        @Test(arguments: Disagreement.allCases)
        func `a source gives up a destination that disagrees, and the guest keeps running`(_ disagreement: Disagreement) async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let peer = guests.keep(
                    try FakeDestination { socket in
                        guard case .hello(let hello)? = try? socket.receiveDecodedFrame() else { return }
                        socket.send(Frame.hello(disagreement.apply(to: hello)).encode(sequence: 0))
                        _ = socket.receiveFrame()
                    }
                )
                let migrate = try await source.migrate(to: peer.uri)
                migrate.expectFailure(disagreement.words, "the guest is still running")
                try await source.expectGuestIsStillHere()
                try await source.expectMigrates(guests)
            }
        }

        @Test func `a source gives up a destination that answers for another migration`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB")
                let peer = guests.keep(
                    try FakeDestination { socket in
                        guard case .hello(var hello)? = try? socket.receiveDecodedFrame() else { return }
                        hello.session = .random()
                        socket.send(Frame.hello(hello).encode(sequence: 0))
                        _ = socket.receiveFrame()
                    }
                )
                try await source.migrate(to: peer.uri).expectFailure("another migration", "the guest is still running")
                try await source.expectGuestIsStillHere()
            }
        }

        @Test func `a source gives up a destination that sends nonsense`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let peer = guests.keep(
                    try FakeDestination { $0.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html></html>".utf8) }
                )
                try await source.migrate(to: peer.uri).expectFailure("not an Aerostat migration stream", "the guest is still running")
                try await source.expectGuestIsStillHere()
            }
        }

        @Test func `nobody listens: the command says so at once, with the address`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                // The port is bound but nobody listens on it, so that nobody else can take it meanwhile.
                let free = try await guests.waiting()
                let uri = try free.incoming
                _ = try await free.command("quit")
                _ = try await free.exitCode()
                try await source.migrate(to: uri).expectFailure(
                    "reach the destination",
                    uri,
                    "Connection refused",
                    "the guest is still running"
                )
                try await source.expectGuestIsStillHere()
                let missing = "unix:" + guests.path("nobody.sock")
                try await source.migrate(to: missing).expectFailure(missing, "No such file", "the guest is still running")
                try await source.migrate(to: "tcp:no-such-host.invalid:4444")
                    .expectFailure("could not resolve the host no-such-host.invalid", "the guest is still running")
                try await source.expectGuestIsStillHere()
                try await source.expectMigrates(guests)
            }
        }

        @Test func `the incoming port is taken: exit 1 with the address`() async throws {
            try await withGuests { guests in
                let first = try await guests.waiting()
                let uri = try first.incoming
                try await Aerostat.command("run", "--incoming", uri, "--control", guests.path("second"))
                    .expectFailure(uri, "Address already in use")
            }
        }

        @Test(arguments: ["missing-folder/in.sock", "file/in.sock"])
        func `the incoming path cannot be made: exit 1 with the path`(_ name: String) async throws {
            try await withGuests { guests in
                try Data().write(to: URL(filePath: guests.path("file")))
                let path = guests.path(name)
                try await Aerostat.command("run", "--incoming", "unix:" + path, "--control", guests.path("second")).expectFailure(path)
            }
        }

        @Test func `a file exists at the incoming path: it stays, exit 1`() async throws {
            try await withGuests { guests in
                let path = guests.path("precious")
                try Data("precious".utf8).write(to: URL(filePath: path))
                for option in ["--incoming", "--control"] {
                    let other = guests.path("other.sock")
                    let ended = try await Aerostat.run(
                        Aerostat.path,
                        option == "--control"
                            ? ["run", "--memory", "16MiB", "--control", path]
                            : ["run", "--incoming", "unix:" + path, "--control", other]
                    )
                    ended.expectFailure(path)
                    #expect(try String(contentsOf: URL(filePath: path), encoding: .utf8) == "precious")
                }
            }
        }

        @Test func `the control path is in use: exit 1, the first guest is not disturbed`() async throws {
            try await withGuests { guests in
                let first = try await guests.run("--memory", "64MiB", "--workload", "churn")
                try await Aerostat.command("run", "--memory", "64MiB", "--control", first.control)
                    .expectFailure("another process listens on the control socket", first.control)
                #expect(try await first.state() == .running)
                try await first.expectClean()
            }
        }

        @Test func `a killed guest's sockets are taken over`() async throws {
            try await withGuests { guests in
                let first = try await guests.run("--incoming", "unix:" + guests.path("in.sock"))
                first.kill()
                _ = try await first.exitCode()
                let second = try await guests.run("--incoming", "unix:" + guests.path("in.sock"))
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                #expect(try await source.migrate(to: try second.incoming, "--verify").code == 0)
                try await second.expectClean()
            }
        }

        @Test func `a process that waits for a guest refuses commands for one`() async throws {
            try await withGuests { guests in
                let waiting = try await guests.waiting()
                for command in ["check", "pause", "resume"] {
                    try await waiting.command(command).expectFailure("no guest here yet")
                }
                try await waiting.migrate(to: "tcp:127.0.0.1:1").expectFailure("no guest here yet")
                #expect(try await waiting.command("status").code == 0)
                #expect(try await waiting.command("quit").code == 0)
                #expect(try await waiting.exitCode() == 0)
            }
        }

        @Test func `a second migration is refused while one is under way`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "hog")
                let destination = try await guests.waiting()
                async let first = source.migrate(to: try destination.incoming, "--bandwidth-limit", "40M")
                try await eventually("the first goes on") { try await source.report().ram.normal > 0 }
                try await source.migrate(to: "tcp:127.0.0.1:1").expectFailure("in progress")
                #expect(try await source.report().status == .active, "the first one goes on")
                _ = try await source.command("cancel")
                #expect(try await first.code == 1)
            }
        }

        static let nonsense: [[String]] = [
            ["run"], ["run", "--control"],
            ["run", "--control", "/nonexistent/x", "--incoming", "unix:/tmp/" + String(repeating: "long", count: 30)],
            ["run", "--control", "/nonexistent/x", "--memory", "lots"],
            ["run", "--control", "/nonexistent/x", "--memory", "15MiB"],
            ["run", "--control", "/nonexistent/x", "--memory", "64MiB", "--used", "80%", "--freed", "30%"],
            ["run", "--control", "/nonexistent/x", "--used", "101%"], ["run", "--control", "/nonexistent/x", "--vcpus", "0"],
            ["run", "--control", "/nonexistent/x", "--vcpus", "65"],
            ["run", "--control", "/nonexistent/x", "--workload", "sleep"],
            ["run", "--control", "/nonexistent/x", "--balloon-driver", "kind"],
            ["run", "--control", "/nonexistent/x", "--incoming", "pigeon:3"],
            ["run", "--control", "/nonexistent/x", "--incoming", "tcp:1.2.3.4"],
            ["run", "--control", "/nonexistent/x", "--incoming", "tcp::99999"],
            ["run", "--control", "/nonexistent/x", "--incoming", "tcp:127.0.0.1:0", "--memory", "1KiB"],
            ["run", "--control", "/nonexistent/x", "--tracker", "dog"],
            ["run", "--control", "/nonexistent/x", "--workload", "steady", "--write-rate", "0"],
            ["run", "--control", "/nonexistent/x", "--incoming", "tcp:127.0.0.1:0", "--workload", "idle"],
            ["run", "--control", "/nonexistent/x", "--incoming", "tcp:127.0.0.1:0", "--balloon-driver", "correct"],
            ["run", "--control", "/nonexistent/x", "--restore", "tcp:127.0.0.1:0"],
            ["run", "--control", "/nonexistent/x", "--restore", "file:/x", "--incoming", "tcp:127.0.0.1:0"],
            ["run", "--control", "/nonexistent/x", "--restore", "file:/x", "--memory", "64MiB"],
            ["run", "--control", "/nonexistent/x", "--restore", "file:/x", "--vcpus", "2"],
            ["run", "--control", "/nonexistent/x", "--preload"],
            ["image", "compare", "/x"],
            ["migrate", "--control", "/nonexistent/x"],
            ["migrate", "--control", "/nonexistent/x", "tcp:1.2.3.4:5", "--downtime-limit", "300"],
            ["migrate", "--control", "/nonexistent/x", "tcp:1.2.3.4:5", "--bandwidth-limit", "fast"],
            ["migrate", "--control", "/nonexistent/x", "tcp:1.2.3.4:5", "--timeout", "0s"],
            ["migrate", "--control", "/nonexistent/x", "tcp:1.2.3.4:5", "--on-timeout", "shrug"],
            ["run", "--control", ""], ["run", "--control", "/tmp/" + String(repeating: "long", count: 30)],
            ["status", "--control", ""], ["status", "--control", "/tmp/" + String(repeating: "long", count: 30)],
            ["run", "--control", "/nonexistent/x", "--incoming", "unix:"], ["run", "--control", "/nonexistent/x", "--restore", "file:"],
            ["run", "--control", "/nonexistent/x", "--guest", "kvm", "--kernel", ""],
            ["run", "--control", "/nonexistent/x", "--guest", "kvm", "--kernel", "/x", "--initrd", ""],
            ["run", "--control", "/nonexistent/x", "--no-rng"],
            ["run", "--control", "/nonexistent/x", "--guest", "tiny", "--no-rng"],
            ["run", "--control", "/nonexistent/x", "--incoming", "tcp:127.0.0.1:0", "--guest", "kvm", "--no-rng"],
            ["run", "--control", "/nonexistent/x", "--restore", "file:/nonexistent/image", "--no-rng"],
            ["run", "--control", "/nonexistent/x", "--guest", "tiny", "--console", "unix:"],
            ["run", "--control", "/nonexistent/x", "--guest", "tiny", "--console", "file:"],
            ["run", "--control", "/nonexistent/x", "--guest", "tiny", "--console", ":stdio"],
            ["run", "--control", "/nonexistent/x", "--guest", "tiny", "--console", "stdio:"],
            ["run", "--control", "/nonexistent/x", "--guest", "tiny", "--console", "unix:/tmp/" + String(repeating: "long", count: 30)],
            ["migrate", "--control", "/nonexistent/x", "unix:" + String(repeating: "relative", count: 13)],
            ["migrate", "--control", "/nonexistent/x", "unix:"], ["migrate", "--control", "/nonexistent/x", "file:"],
            ["migrate", "--control", "/nonexistent/x", "tcp:1.2.3.4:5", "--record", ""],
            ["dump-memory", "--control", "/nonexistent/x", "-o", ""],
            ["image", "info", ""], ["image", "verify", "file:"], ["image", "compare", "/x", "file:"], ["demo", "--image", ""],
            ["demo", "--balloon", "--image", "/x"],
            ["image", "import", "--ram", "", "--page-flags", "/x", "-o", "/x"],
            ["image", "import", "--ram", "/x", "--page-flags", "/y", "-o", ""], ["stress", "--keep", ""],
            ["status"], ["dump-memory", "--control", "/nonexistent/x"], ["fly"], ["demo", "--memory", "-1"],
        ]

        @Test(arguments: nonsense)
        func `meaningless options: exit 64`(_ arguments: [String]) async throws {
            let ended = try await Aerostat.run(Aerostat.path, arguments)
            #expect(ended.code == 64, "\(ended)")
            #expect(ended.output.isEmpty && ended.errors.contains("Error:"), "\(ended)")
        }

        @Test(arguments: ["status", "pause", "resume", "cancel", "quit", "check"])
        func `a control socket that nobody serves: exit 1 with its path`(_ command: String) async throws {
            try await Aerostat.command(command, "--control", "/tmp/aerostat-nobody.sock").expectFailure("/tmp/aerostat-nobody.sock")
        }
    }
}

extension Hello {
    /// BootHeader.currentVersion: another one is refused.
    private static let modelKernelVersion: UInt32 = 4

    /// The hello of a source with 64 MiB.
    static var someGuest: Hello {
        get throws {
            let requirements = [DeviceSection(name: "model-guest", version: modelKernelVersion, bytes: [])]
            return Hello(
                session: .random(),
                regions: try RegionTable(contiguousBytes: 64 << 20),
                capabilities: [],
                requirements: requirements
            )
        }
    }
}

/// A destination that a test plays itself, for one connection.
final class FakeDestination: Guests.Endable {
    let uri: String
    private let doorbell: Doorbell

    init(_ play: @escaping @Sendable (borrowing FrameSocket) -> Void) throws {
        let socket = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0))
        let doorbell = try Doorbell()
        self.doorbell = doorbell
        uri = "\(socket.address)"
        let listener = Listener(socket: socket)
        _ = try HostThread(name: "destination") {
            guard let connection = try? listener.socket.accept(unlessRung: doorbell) else { return }
            let peer = FrameSocket(connection)
            play(peer)
        }
    }

    func end() { doorbell.ring() }

    private final class Listener: Sendable {
        let socket: ListeningSocket
        init(socket: consuming ListeningSocket) { self.socket = socket }
    }
}
