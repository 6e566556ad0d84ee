import Control
import Foundation
import Host

/// A child process that runs `aerostat run`, and the connection to its control socket.
final class GuestCommand: Sendable {
    let control: String
    /// Where it waits for a guest, if it does.
    let incoming: String?
    let client: ControlClient
    private let process: Process

    /// What a child did instead of becoming ready.
    struct NotReady: Error, CustomStringConvertible {
        let description: String
    }

    private struct Ready: Decodable {
        let control: String
        let incoming: String?
    }

    /// Starts the command and waits until it can be spoken to.
    /// - Parameters:
    ///   - arguments: for `aerostat run`, without `--control`.
    ///   - control: the path of its control socket.
    static func start(_ arguments: [String], control: String) async throws -> GuestCommand {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["run", "--control", control] + arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        // The line comes once; the end of the file comes instead where the child failed, and its reason is on standard error.
        let line = await Task.detached { output.fileHandleForReading.readLine() }.value
        guard let line, let ready = try? JSONDecoder().decode(Ready.self, from: line) else {
            process.waitUntilExit()
            throw NotReady(description: "a guest process ended with code \(process.terminationStatus) before it was ready")
        }
        do {
            let client = try await ControlClient.connect(to: ready.control)
            return GuestCommand(ready, client, process)
        } catch {
            process.terminate()
            throw error
        }
    }

    private init(_ ready: Ready, _ client: ControlClient, _ process: Process) {
        control = ready.control
        incoming = ready.incoming
        self.client = client
        self.process = process
    }

    /// Asks it to end, and waits until it has.
    func quit() async {
        _ = try? await client.execute("quit")
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { [process] in
                process.waitUntilExit()
                continuation.resume()
            }
        }
    }

    /// Ends it at once.
    func kill() { if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) } }
}

extension FileHandle {
    /// Bytes up to the first line feed, at most 64 KiB; `nil` at the end of the file.
    fileprivate func readLine() -> Data? {
        var line = Data()
        while line.count < 65536, let byte = try? read(upToCount: 1), !byte.isEmpty {
            if byte[byte.startIndex] == 0x0A { return line }
            line.append(byte)
        }
        return nil
    }
}
