import Control
import Foundation
import Testing

/// The field's own client, `qemu.qmp` from PyPI, against our server. The script is also run by hand and end to end on a real guest.
@Suite(.timeLimit(.minutes(5))) struct QMPPackageTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The python that has the package; `nil` where it cannot be made (no network, no venv).
    private static let python: String? = {
        let (status, output) = (try? run(root.appending(path: "tools/python-env").path, [])) ?? (1, "")
        return status == 0 ? output.split(separator: "\n").last.map(String.init) : nil
    }()

    private static func run(_ program: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    @Test(
        .enabled(if: python != nil, "the qemu.qmp package could not be installed (tools/python-env)"),
        arguments: [nil, "tcp:localhost:1"]
    )
    func `negotiates, asks, commands, hears events and drives qmp-shell`(_ uri: String?) async throws {
        let python = try #require(Self.python)
        try await withServer { _, server in
            let script = Self.root.appending(path: "tools/qmp_client.py").path
            let arguments = [script, server.path] + (uri.map { [$0] } ?? [])
            // On a thread of its own: the server needs the default executor's.
            let (status, output) = try await withCheckedThrowingContinuation { continuation in
                Thread.detachNewThread { continuation.resume(with: Result { try Self.run(python, arguments) }) }
            }
            #expect(status == 0)
            #expect(output.contains("completed") == (uri != nil))
        }
    }
}
