import Foundation

typealias Ended = (status: Int32, output: String, errors: String)

/// Runs a program to its end. If a signal ended it, its status is the negative number of the signal.
func runProgram(_ path: String, _ arguments: [String], whenStarted: (Process) -> Void = { _ in }) throws -> Ended {
    let process = Process()
    process.executableURL = URL(filePath: path)
    process.arguments = arguments
    let output = Pipe()
    process.standardOutput = output
    // A file, because two pipes that are read one after the other can fill up.
    let errors = FileManager.default.temporaryDirectory.appending(path: "aerostat-test-\(UUID()).txt")
    try Data().write(to: errors)
    defer { try? FileManager.default.removeItem(at: errors) }
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    whenStarted(process)
    let text = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    let status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    return (status, String(decoding: text, as: UTF8.self), try String(contentsOf: errors, encoding: .utf8))
}

/// The same, without blocking a thread of the default executor.
func runProgramAside(
    _ path: String,
    _ arguments: [String],
    whenStarted: @escaping @Sendable (Process) -> Void = { _ in }
) async throws -> Ended {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            continuation.resume(with: Result { try runProgram(path, arguments, whenStarted: whenStarted) })
        }
    }
}
