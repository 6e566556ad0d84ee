import AerostatControl
import AerostatQMP
import Foundation
import Testing

/// The field's own client, `qemu.qmp` from PyPI, against our server. The script can also be run by hand, and a test runs it on a real
/// guest.
@Suite(.timeLimit(.minutes(5))) struct QMPPackageTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The python that has the package; `nil` if it cannot be made (no network, no venv).
    private static let python: String? = {
        let (status, output, _) = (try? runProgram(root.appending(path: "tools/python-env").path, [])) ?? (1, "", "")
        return status == 0 ? output.split(separator: "\n").last.map(String.init) : nil
    }()

    @Test(
        .enabled(if: python != nil, "the qemu.qmp package could not be installed (tools/python-env)"),
        arguments: [nil, "tcp:localhost:1"]
    )
    func `the client negotiates, sends commands, gets events and drives qmp-shell`(_ uri: String?) async throws {
        let python = try #require(Self.python)
        try await withServer { _, server in
            let script = Self.root.appending(path: "tools/qmp_client.py").path
            let arguments = [script, server.path] + (uri.map { [$0] } ?? [])
            let (status, output, errors) = try await runProgramAside(python, arguments)
            #expect(status == 0, "\(errors)")
            #expect(output.contains("completed") == (uri != nil))
        }
    }
}
