import AerostatHost
import Foundation

/// The result of a command.
struct Ended: Sendable, CustomStringConvertible {
    /// The exit code, or the negative number of the signal that ended it.
    let code: Int32
    let output: String
    let errors: String

    /// Everything that a person would have seen.
    var text: String { output + errors }
    var description: String { "exit \(code)\n\(text)" }
}

/// The program under test.
enum Aerostat {
    /// Beside the tests, where the build puts both. `AEROSTAT` names another one.
    static let path: String = {
        if let path = ProcessInfo.processInfo.environment["AEROSTAT"] { return path }
        let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        let path = tests.deletingLastPathComponent().appending(path: "aerostat").path
        precondition(FileManager.default.isExecutableFile(atPath: path), "no aerostat at \(path); set AEROSTAT")
        return path
    }()

    /// The top of the repository.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Runs a subcommand to its end.
    static func command(_ arguments: String...) async throws -> Ended { try await run(path, arguments) }

    /// Runs any program to its end. Kills it if that takes longer than two minutes.
    static func run(_ program: String, _ arguments: [String], environment: [String: String] = [:]) async throws -> Ended {
        try await aside {
            let process = Process()
            process.executableURL = URL(filePath: program)
            process.arguments = arguments
            process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
            process.standardInput = FileHandle.nullDevice
            let output = try Capture()
            let errors = try Capture()
            process.standardOutput = output.handle
            process.standardError = errors.handle
            let ended = Monitor(false)
            process.terminationHandler = { _ in ended.update { $0 = true } }
            try process.run()
            if ended.wait(until: MonotonicClock.now() + .seconds(120), { $0 ? () : nil }) == nil {
                kill(process.processIdentifier, SIGKILL)
                _ = ended.wait { $0 ? () : nil }
            }
            return Ended(code: process.exitCode, output: output.text, errors: errors.text)
        }
    }
}

extension Process {
    /// For a process that has ended.
    var exitCode: Int32 { terminationReason == .exit ? terminationStatus : -terminationStatus }
}

/// A file that captures the output of a process. Unlike a pipe it is never full, and it can be read meanwhile. It is removed with this
/// object.
final class Capture: Sendable {
    let handle: FileHandle
    private let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "aerostat-test-\(UUID()).txt").path
        try Data().write(to: URL(filePath: path))
        handle = try FileHandle(forWritingTo: URL(filePath: path))
    }

    deinit {
        // Foundation keeps a process that has ended, and its handle too. With a thousand files open, `Process.run()` reads beyond the end
        // of its list of them, and crashes.
        try? handle.close()
        try? FileManager.default.removeItem(atPath: path)
    }

    var text: String { (try? String(decoding: Data(contentsOf: URL(filePath: path)), as: UTF8.self)) ?? "" }
}

/// Runs a blocking body on a thread of its own, so that it does not block a thread of the default executor.
func aside<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result(catching: body)) }
    }
}

/// Something did not happen in time.
struct TooLate: Error, CustomStringConvertible {
    let description: String
}

/// Checks a condition again and again until it holds.
func eventually(
    _ what: String,
    within limit: Duration = .seconds(30),
    _ condition: () async throws -> Bool
) async throws {
    let deadline = MonotonicClock.now() + limit
    while try await !condition() {
        guard MonotonicClock.now() < deadline else { throw TooLate(description: "not within \(limit): \(what)") }
        try await Task.sleep(for: .milliseconds(10))
    }
}
