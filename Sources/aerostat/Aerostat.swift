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
        // First of all. Nothing is opened before: a process with all of 0, 1 and 2 closed opens its first descriptor here, as 0. It is not
        // done by a constructor in C, because that would also run in the processes of those who embed the library.
        StandardStream.prepare()
        HostLimits.saveAddressSpace()
        ProcessLog.begin()
        #if BrokenEngines
            BrokenEngineChoice.obey()
        #endif
        // Before anything is awaited: that takes a thread, and where there is none it is waited for, for ever.
        do throws(HostLimits.Shortage) { try HostLimits.require(.anything) } catch {
            writeToStandardError("Error: \(error)\n", patience: .seconds(2))
            Glibc.exit(ExitCode.failed.rawValue)
        }
        let code = await perform()
        ProcessLog.end()
        Glibc.exit(code.rawValue)
    }

    /// Runs the command that was typed, to its end.
    private static func perform() async -> ExitCode {
        do {
            var command = try await asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
            return .success
        } catch {
            return conclude(error)
        }
    }

    /// What the argument parser does at the end of a command, with streams that may be closed or full: help and versions are results,
    /// anything else is for people.
    private static func conclude(_ error: any Error) -> ExitCode {
        let code = exitCode(for: error)
        let text = fullMessage(for: error)
        if text.isEmpty { return code }
        if code == .success { return writeResult(text) ? .success : .unwritten }
        // What the log says came before.
        ProcessLog.flush()
        writeToStandardError(text + "\n", patience: .seconds(2))
        return code
    }
}
