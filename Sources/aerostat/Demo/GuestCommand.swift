import AerostatControl
import AerostatHost
import AerostatQMP
import CommandSupport
import Foundation
import SystemPackage

/// A child process that runs `aerostat run`, and the connection to its control socket.
final class GuestCommand: Sendable {
    let control: String
    /// Where it waits for a guest, if it does.
    let incoming: String?
    let client: ControlClient
    private let process: ChildProcess

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
        let words = ["run", "--control", control] + arguments
        let (process, line) = try await aside { () throws -> (ChildProcess, Data?) in
            var pipe = try PipeEnds()
            let process = try ChildProcess(Self.program, words, output: pipe.writingNumber, errors: STDERR_FILENO)
            pipe.closeWriter()
            // The line comes once; the end of the file comes instead where the child failed, and its reason is on standard error.
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

    /// Asks it to end, and waits until it has.
    func quit() async {
        _ = try? await client.execute(.quit)
        await aside { [process] in _ = process.wait() }
    }

    /// Ends it at once.
    func kill() { process.signal(SIGKILL) }
}

/// Bytes up to the first line feed, at most 64 KiB; `nil` at the end of the file.
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
