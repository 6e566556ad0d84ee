import AerostatControl
import AerostatHost
import AerostatQMP
import ArgumentParser

struct DumpMemory: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes the guest's whole memory to a file.",
        discussion: """
            The guest's process writes the file. A running guest changes memory meanwhile: pause it first for a consistent dump.

            Example:
              aerostat dump-memory --control /run/guest.sock -o guest.ram
            """
    )

    @OptionGroup var options: ControlOptions

    @Option(name: .shortAndLong, help: "The file to write.", completion: .file(), transform: Values.path)
    var output: String

    func run() async throws {
        let path = absolutePath(output)
        let client = try await options.connect()
        let answer = try await client.execute(.saveMemory, SaveMemoryArguments(address: 0, path: path))
        let copy = try await client.runState() == .postMigrate ? ": the copy that stayed here when the guest moved away" : ""
        try options.print(answer, text: "wrote \(path)\(copy)")
    }
}
