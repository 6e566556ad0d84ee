import ArgumentParser

/// The subcommands that talk to a guest's control socket.
let clientCommands: [any ParsableCommand.Type] = [
    Migrate.self, Status.self, Pause.self, Resume.self, Cancel.self, PowerDown.self, Quit.self, Check.self,
    DumpMemory.self, Balloon.self, MemoryStats.self,
]
