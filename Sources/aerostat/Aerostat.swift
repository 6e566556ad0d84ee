import AerostatHost
import ArgumentParser
import Glibc

@main struct Aerostat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "aerostat",
        abstract: "Moves a running virtual machine from one process to another.",
        discussion: """
            Exit codes: 0 done; 1 failed, and the guest still runs where it ran; 2 verification found a difference; 3 the outcome is \
            unknown (the link was lost between commit and running); 64 usage; 74 done, but the result could not be written to standard \
            output.
            """,
        version: AerostatVersion.text,
        subcommands: [DemoCommand.self, RunCommand.self] + clientCommands + [ImageCommand.self, StressCommand.self]
    )

    static func main() async {
        // This comes before anything is opened: in a process that starts with 0, 1 and 2 all closed, the first descriptor opened here
        // becomes 0. A constructor in C would come even earlier, but it would also run in the processes of those who embed the library.
        StandardStream.prepare()
        HostLimits.saveAddressSpace()
        ProcessLog.begin()
        #if BrokenEngines
            BrokenEngineChoice.obey()
        #endif
        // Checked before anything is awaited. The first await needs a thread; if none can be started, it waits for ever.
        do throws(HostLimits.Shortage) { try HostLimits.require(.anything) } catch {
            writeToStandardError("Error: \(error)\n", patience: .seconds(2))
            Glibc.exit(ExitCode.failed.rawValue)
        }
        let code = await perform()
        ProcessLog.end()
        Glibc.exit(code.rawValue)
    }

    /// Parses the command line and runs the command to its end.
    private static func perform() async -> ExitCode {
        do {
            var command = try await asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
            return .success
        } catch {
            return conclude(error)
        }
    }

    /// Ends a command as the argument parser would, but with streams that may be closed or full. Help and version texts are results for
    /// standard output; anything else is for people.
    private static func conclude(_ error: any Error) -> ExitCode {
        let code = exitCode(for: error)
        let text = fullMessage(for: error)
        if text.isEmpty { return code }
        if code == .success { return writeResult(text) ? .success : .unwritten }
        // Log lines are older than this text, so they come first.
        ProcessLog.flush()
        writeToStandardError(text + "\n", patience: .seconds(2))
        return code
    }
}
