import AerostatControl
import AerostatQMP
import ArgumentParser

struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Pauses the guest. Its memory stays.",
        discussion: "Example:\n  aerostat pause --control /run/guest.sock"
    )

    @OptionGroup var options: ControlOptions

    func run() async throws {
        let client = try await options.connect()
        try await client.execute(.stop)
        let state = try await client.runState()
        try options.print(state.json, text: "the guest is \(state.rawValue)")
    }
}

struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lets a paused guest run.",
        discussion: """
            After a migration whose outcome is unknown, the guest may be running at the destination. --force runs it here all the same. \
            Make sure first that the destination is gone: two processes that run one guest destroy its data. The same holds after a \
            migration to an image: before you use --force, make sure that nobody starts the guest from the image.

            Example:
              aerostat resume --control /run/guest.sock
            """
    )

    @OptionGroup var options: ControlOptions

    @Flag(help: "Run the guest even though the destination may be running it, or somebody may start its image.")
    var force = false

    func run() async throws {
        let client = try await options.connect()
        try await client.execute(.resume, ResumeArguments(force: force))
        let state = try await client.runState()
        try options.print(state.json, text: "the guest is \(state.rawValue)")
    }
}
