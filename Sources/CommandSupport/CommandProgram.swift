import AerostatHost
package import ArgumentParser
import Glibc

/// A program made of one command, with or without subcommands: from its first instruction to its exit code.
package enum CommandProgram {
    /// Must be the first call of the program, before any `await`. An `await` needs a thread, and if none can be made it would wait for
    /// ever.
    /// - Parameter prepared: called when text can be written.
    package static func begin(prepared: () -> Void = {}) {
        // Nothing is opened before this. If 0, 1 and 2 are all closed, the first descriptor that the process opens would be 0. This is not
        // done by a constructor in C, because that would also run in the processes of those who embed the library.
        StandardStream.prepare()
        HostLimits.saveAddressSpace()
        ProcessLog.begin()
        prepared()
        do throws(HostLimits.Shortage) { try HostLimits.require(.anything) } catch {
            writeToStandardError("Error: \(error)\n", patience: .seconds(2))
            Glibc.exit(ExitCode.failed.rawValue)
        }
    }

    /// Runs the command and ends the process.
    package static func run<Root: AsyncParsableCommand>(_ root: Root.Type) async -> Never {
        let code = await perform(root)
        ProcessLog.end()
        Glibc.exit(code.rawValue)
    }

    /// Parses the command line and runs the command to its end.
    private static func perform<Root: AsyncParsableCommand>(_ root: Root.Type) async -> ExitCode {
        do {
            var command = try await root.asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
            return .success
        } catch {
            return conclude(root, error)
        }
    }

    /// Ends a command as the argument parser would, but with streams that may be closed or full. Help and version texts are results for
    /// standard output; anything else is for people.
    private static func conclude<Root: AsyncParsableCommand>(_ root: Root.Type, _ error: any Error) -> ExitCode {
        let code = root.exitCode(for: error)
        let text = root.fullMessage(for: error)
        if text.isEmpty { return code }
        if code == .success { return writeResult(text) ? .success : .unwritten }
        // Log lines are older than this text, so they come first.
        ProcessLog.flush()
        writeToStandardError(text + "\n", patience: .seconds(2))
        return code
    }
}
