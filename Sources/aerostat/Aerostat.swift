import AerostatHost
import ArgumentParser
import CommandSupport

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
        subcommands: [DemoCommand.self, RunCommand.self] + clientCommands + [ImageCommand.self, StressLauncher.self]
    )

    static func main() async {
        CommandProgram.begin {
            #if BrokenEngines
                BrokenEngineChoice.obey()
            #endif
        }
        await CommandProgram.run(Self.self)
    }
}
