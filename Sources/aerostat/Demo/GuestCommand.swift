import AerostatControl
import AerostatHost
import AerostatQMP
import CommandSupport
import Foundation
import SystemPackage

/// A child process that runs `aerostat run`, and the connection to its control socket.
final class GuestCommand: Sendable {
    let control: String
    /// The address at which it waits for a guest, if it does.
    let incoming: String?
    let client: ControlClient
    private let process: ChildProcess
    var identifier: Int32 { process.identifier }

    /// A child that failed before it was ready.
    struct NotReady: Error, CustomStringConvertible {
        let description: String
    }

    private struct Ready: Decodable {
        let control: String
        let incoming: String?
    }

    /// Starts the command, and waits until its control socket can be used.
    /// - Parameters:
    ///   - arguments: for `aerostat run`, without `--control`.
    ///   - control: the path of its control socket.
    static func start(_ arguments: [String], control: String) async throws -> GuestCommand {
        let words = ["run", "--control", control] + arguments
        let (process, line) = try await aside { () throws -> (ChildProcess, Data?) in
            var pipe = try PipeEnds()
            let process = try ChildProcess(Self.program, words, output: pipe.writingNumber, errors: STDERR_FILENO)
            pipe.closeWriter()
            // The child prints one line when it is ready. If it fails, the pipe ends instead, and its reason is on standard error.
            return (process, readLine(pipe.reader.number))
        }
        guard let line, let ready = try? JSONDecoder().decode(Ready.self, from: line) else {
            let code = await aside { process.wait() } ?? 0
            throw NotReady(description: "a guest process ended with code \(code) before it was ready")
        }
        do {
            return GuestCommand(ready, try await ControlClient.connect(to: ready.control), process)
        } catch {
            process.signal(SIGKILL)
            throw error
        }
    }

    /// This program.
    private static let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().path

    private init(_ ready: Ready, _ client: ControlClient, _ process: ChildProcess) {
        control = ready.control
        incoming = ready.incoming
        self.client = client
        self.process = process
    }

    /// Asks the process to end, and waits until it has.
    func quit() async {
        _ = try? await client.execute(.quit)
        await aside { [process] in _ = process.wait() }
    }

    /// Kills the process.
    func kill() { process.signal(SIGKILL) }
}

/// Reads up to the first line feed. Returns `nil` if the file ends before it, or after 64 KiB without one.
private func readLine(_ descriptor: Int32) -> Data? {
    var line = Data()
    var byte: UInt8 = 0
    while line.count < 65536 {
        let count = unsafe read(descriptor, &byte, 1)
        if count < 0, errno == EINTR { continue }
        if count <= 0 { return nil }
        if byte == 0x0A { return line }
        line.append(byte)
    }
    return nil
}
