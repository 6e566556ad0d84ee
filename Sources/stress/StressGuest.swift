import AerostatControl
import AerostatHost
import AerostatMigration
import AerostatQMP
import Foundation

/// Something happened that must not happen.
struct StressFind: Error, CustomStringConvertible {
    /// The check that noticed.
    enum Check: String {
        case guest = "the guest's check of itself"
        case dumps = "comparison of both memories"
        case verification = "--verify"
        case runs = "the guest runs"
        case owner = "one owner"
        case givenBack = "memory given back"
        case balloon = "the balloon does what was asked"
        case answers = "exit codes, reports and logs agree"
        case ending = "processes end as they should"
        case hang = "everything comes to an end"
    }

    let check: Check
    let description: String

    init(_ check: Check, _ description: String) { (self.check, self.description) = (check, description) }
}

/// A child process. Every wait for its answers has a limit.
final class StressChild: Sendable {
    /// How long anything but a migration may take, on a busy machine.
    static let patience: Duration = .seconds(25)

    let name: String
    let identifier: Int32
    private let process: ChildProcess
    private let outputPath: String
    private let errorPath: String

    /// - Parameter name: the name of its two log files.
    init(_ name: String, _ arguments: [String], in folder: String) throws {
        self.name = name
        outputPath = "\(folder)/\(name).out"
        errorPath = "\(folder)/\(name).log"
        process = try ChildProcess(Self.program, arguments, output: outputPath, errors: errorPath)
        identifier = process.identifier
    }

    /// `aerostat`, beside this program.
    static let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        .appending(path: "aerostat").path

    var output: String { Self.text(outputPath) }
    var log: String { Self.text(errorPath) }
    var exitCode: Int32? { process.exitCode }
    func signal(_ number: Int32) { process.signal(number) }

    private static func text(_ path: String) -> String {
        (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Waits for the process's end.
    /// - Throws: a find if it does not end in time.
    func end(within limit: Duration = patience) async throws -> Int32 {
        try await eventually("\(name) (process \(identifier)) ends", within: limit) { self.exitCode }
    }
}

/// Asks repeatedly for a result.
/// - Throws: a find if there is none in time.
func eventually<Result>(
    _ what: String,
    within limit: Duration = StressChild.patience,
    check: StressFind.Check = .hang,
    _ body: () async throws -> Result?
) async throws -> Result {
    let deadline = MonotonicClock.now() + limit
    while true {
        if let result = try await body() { return result }
        guard MonotonicClock.now() < deadline else { throw StressFind(check, "not within \(limit): \(what)") }
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// One `aerostat run`.
final class StressGuest: Sendable {
    let child: StressChild
    let control: String
    /// The address at which the process waits for a guest, if it does.
    let incoming: String?
    private let pulsePlace: Range<Int>

    private struct Ready: Decodable {
        let incoming: String?
    }

    /// The process has ended, so it cannot answer.
    struct Gone: Error {}

    /// Starts the process and waits until its control socket answers.
    /// - Parameter pulse: memory that changes while the guest runs.
    static func start(_ name: String, _ arguments: [String], pulse: Range<Int>, in folder: String) async throws -> StressGuest {
        let control = "\(folder)/\(name).sock"
        let child = try StressChild(name, ["run", "--control", control] + arguments, in: folder)
        do {
            let ready = try await eventually("\(name) is ready") { () -> Ready? in
                let output = child.output
                if let end = output.firstIndex(of: "\n") { return try JSONDecoder().decode(Ready.self, from: Data(output[..<end].utf8)) }
                if let code = child.exitCode { throw StressFind(.ending, "\(name) ended with \(code) before it was ready: \(child.log)") }
                return nil
            }
            return StressGuest(child, control: control, incoming: ready.incoming, pulse: pulse)
        } catch {
            child.signal(SIGKILL)
            throw error
        }
    }

    private init(_ child: StressChild, control: String, incoming: String?, pulse: Range<Int>) {
        self.child = child
        self.pulsePlace = pulse
        self.control = control
        self.incoming = incoming
    }

    /// Sends a command over a new connection.
    /// - Throws: `Gone` if the process has ended, `ControlError.refused`, or a find if there is no answer.
    func ask(_ command: String, _ arguments: [String: JSONValue] = [:]) async throws -> JSONValue {
        let isLate = Monitor(false)
        do {
            let client = try await ControlClient.connect(to: control, timeout: 20)
            defer { client.close() }
            // Closing the connection ends the wait.
            let alarm = Task {
                try await Task.sleep(for: StressChild.patience)
                isLate.update { $0 = true }
                client.close()
            }
            defer { alarm.cancel() }
            return try await client.execute(command, arguments)
        } catch {
            if case ControlError.refused = error { throw error }
            if isLate.withLock({ $0 }) { throw StressFind(.hang, "\(child.name) does not answer \(command)") }
            // The process closes its socket a moment before it ends.
            do { _ = try await child.end() } catch {
                throw StressFind(.answers, "\(child.name) lives and cannot be asked \(command): \(error)")
            }
            throw Gone()
        }
    }

    /// The guest's state here; `nil` if the process has ended.
    func state() async throws -> RunState? {
        do {
            guard let state = RunState(json: try await ask("query-status")) else { throw StressFind(.answers, "query-status says nothing") }
            return state
        } catch is Gone {
            return nil
        }
    }

    func report() async throws -> MigrationReport { try MigrationReport(json: try await ask("query-migrate")) }

    func check() async throws -> SelfCheck { try await ask("check-guest").decode(SelfCheck.self) }

    func balloon() async throws -> BalloonInfo { try await ask("query-balloon").decode(BalloonInfo.self) }

    /// A property of the balloon.
    func property(_ name: String) async throws -> JSONValue {
        try await ask("qom-get", ["path": .string(BalloonObject.name), "property": .string(name)])
    }

    func dump(to path: String) async throws { _ = try await ask("pmemsave", ["val": 0, "filename": .string(path)]) }

    private func pulse() async throws -> Data {
        let path = control + ".pulse"
        let place: [String: JSONValue] = ["val": .integer(pulsePlace.lowerBound), "size": .integer(pulsePlace.count)]
        _ = try await ask("pmemsave", place.merging(["filename": .string(path)]) { $1 })
        return try Data(contentsOf: URL(filePath: path))
    }

    /// Requires that the guest's memory changes.
    func expectPulse() async throws {
        let before = try await pulse()
        try await eventually("the guest at \(child.name), which says that it runs, writes its memory", check: .runs) {
            try await pulse() == before ? nil : ()
        }
    }

    /// Requires that the guest's memory does not change, for longer than the slowest running guest leaves it alone.
    func expectNoPulse() async throws {
        let before = try await pulse()
        try await Task.sleep(for: .milliseconds(130))
        if try await pulse() != before {
            throw StressFind(.owner, "the guest's memory changes at \(child.name), where it must not run")
        }
    }

    /// Asks the process to end, and requires that it does so successfully.
    func quit() async throws {
        do { _ = try await ask("quit") } catch is Gone {}
        let code = try await child.end()
        if code != 0 { throw StressFind(.ending, "\(child.name) was asked to quit and ended with \(code): \(child.log)") }
    }
}
