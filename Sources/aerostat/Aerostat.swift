import ArgumentParser
import Host

@main struct Aerostat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "aerostat",
        abstract: "Moves a running virtual machine from one process to another.",
        discussion: """
            Exit codes: 0 done; 1 failed, and the guest still runs where it ran; 2 verification found a difference; 3 the outcome is \
            unknown (the link was lost between commit and running); 64 usage.
            """,
        version: AerostatVersion.text,
        subcommands: [DemoCommand.self, RunCommand.self] + clientCommands + [ImageCommand.self, StressCommand.self]
    )

    #if BrokenEngines
        static func main() async {
            BrokenEngineChoice.obey()
            await main(nil)
        }
    #endif
}
