import AerostatControl
import AerostatHost
import AerostatMigration
import AerostatQMP
import Foundation
import Synchronization
import Testing

/// The processes and files of one test. All of them are gone when the test ends, however it ends.
final class Guests: Sendable {
    private let folder: URL
    private let children = Mutex<[GuestChild]>([])
    private let links = Mutex<[any Endable]>([])

    protocol Endable: Sendable {
        func end()
    }

    fileprivate init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "aerostat-e2e-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    fileprivate func end() {
        let children = children.withLock { $0 }
        for child in children { child.kill() }
        // The next test may use the same image, which a process holds until it is gone.
        for child in children { child.waitForEnd() }
        for link in links.withLock({ $0 }) { link.end() }
        try? FileManager.default.removeItem(at: folder)
    }

    /// A path in a folder of the test's own.
    func path(_ name: String) -> String { folder.appending(path: name).path }

    /// Starts `aerostat run` and waits until it is ready.
    func run(_ arguments: String...) async throws -> GuestChild { try await start(arguments) }

    /// A process that waits for a guest on any port.
    func waiting(_ arguments: String...) async throws -> GuestChild { try await start(["--incoming", "tcp:127.0.0.1:0"] + arguments) }

    /// - Parameter environment: added to this process's own.
    func start(_ arguments: [String], environment: [String: String] = [:]) async throws -> GuestChild {
        let child = try GuestChild(control: path("\(UUID().uuidString.prefix(8)).sock"), arguments, environment)
        children.withLock { $0.append(child) }
        try await child.awaitReady()
        return child
    }

    /// Starts `aerostat run` through a shell, which redirects its streams or limits its resources. Returns once its control socket can be
    /// used.
    /// - Parameter script: the shell's script, in which `"$@"` is the command.
    func start(_ arguments: [String], by script: String) async throws -> GuestChild {
        let child = try GuestChild(control: path("\(UUID().uuidString.prefix(8)).sock"), arguments, script: script)
        children.withLock { $0.append(child) }
        try await eventually("the guest process can be spoken to") {
            if child.hasEnded { throw TooLate(description: "the guest process ended before it was ready: \(child.log)") }
            return (try? await child.state()) != nil
        }
        return child
    }

    /// Makes the test end this object.
    func keep<Link: Endable>(_ link: Link) -> Link {
        links.withLock { $0.append(link) }
        return link
    }
}

/// Gives a test its processes, and ends them afterwards.
func withGuests(_ body: (Guests) async throws -> Void) async throws {
    let guests = try Guests()
    defer { guests.end() }
    try await body(guests)
}

/// One `aerostat run`.
final class GuestChild: Sendable {
    let control: String
    private let process = Process()
    private let output: Capture
    private let errors: Capture
    private let ended = Monitor(false)

    private struct Ready: Decodable {
        let event: String
        let control: String
        let incoming: String?
    }

    fileprivate init(control: String, _ arguments: [String], script: String? = nil, _ environment: [String: String] = [:]) throws {
        self.control = control
        output = try Capture()
        errors = try Capture()
        let command = [Aerostat.path, "run", "--control", control] + arguments
        let words = script.map { ["/bin/sh", "-c", $0, "sh"] + command } ?? command
        process.executableURL = URL(filePath: words[0])
        process.arguments = Array(words.dropFirst())
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output.handle
        process.standardError = errors.handle
        process.terminationHandler = { [ended] _ in ended.update { $0 = true } }
        try process.run()
    }

    /// What the process has printed for people.
    var log: String { errors.text }

    private var ready: Ready? {
        let text = output.text
        guard let end = text.firstIndex(of: "\n") else { return nil }
        return try? JSONDecoder().decode(Ready.self, from: Data(text[..<end].utf8))
    }

    fileprivate func awaitReady() async throws {
        try await eventually("the guest process is ready") {
            if hasEnded { throw TooLate(description: "the guest process ended before it was ready: \(log)") }
            return ready != nil
        }
        #expect(ready?.event == "READY" && ready?.control == control)
    }

    /// The address at which it waits for a guest.
    var incoming: String {
        get throws { try #require(ready?.incoming) }
    }

    var identifier: Int32 { process.processIdentifier }
    var hasEnded: Bool { ended.withLock { $0 } }

    func signal(_ number: Int32) { if !hasEnded { Foundation.kill(process.processIdentifier, number) } }

    /// Sends SIGKILL, so the process prints nothing more.
    func kill() { signal(SIGKILL) }

    /// Sleeps until it is gone, at most ten seconds.
    fileprivate func waitForEnd() { _ = ended.wait(until: MonotonicClock.now() + .seconds(10)) { $0 ? () : nil } }

    /// Waits until it ends.
    func exitCode() async throws -> Int32 {
        try await eventually("the guest process ends") { hasEnded }
        return process.exitCode
    }

    // MARK: Commands

    func connect() async throws -> ControlClient { try await ControlClient.connect(to: control) }
    func state() async throws -> RunState { try await connect().runState() }
    func report() async throws -> MigrationReport { try await connect().migrationReport() }
    func check() async throws -> SelfCheck { try await connect().checkGuest() }

    /// Runs a subcommand with its control socket.
    func command(_ name: String, _ arguments: String...) async throws -> Ended {
        try await Aerostat.run(Aerostat.path, [name, "--control", control] + arguments)
    }

    /// `aerostat migrate`, to its end.
    func migrate(to uri: String, _ arguments: String...) async throws -> Ended { try await migrate(to: uri, arguments: arguments) }

    func migrate(to uri: String, arguments: [String]) async throws -> Ended {
        try await Aerostat.run(Aerostat.path, ["migrate", "--control", control, uri] + arguments)
    }

    /// A dump of its memory.
    func memory(into path: String) async throws -> Data {
        let dump = try await command("dump-memory", "-o", path)
        try #require(dump.code == 0, "\(dump)")
        return try Data(contentsOf: URL(filePath: path))
    }
}
