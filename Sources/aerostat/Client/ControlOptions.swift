import AerostatControl
import AerostatHost
import AerostatQMP
import ArgumentParser
import CommandSupport

/// The options of every subcommand that talks to a guest.
struct ControlOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The guest's control socket.", valueName: "path"), completion: .file(), transform: Values.controlPath)
    var control: String

    @Flag(help: "Print one JSON document on stdout; text for people goes to stderr.")
    var json = false

    func connect() async throws -> ControlClient {
        try HostLimits.require(.client)
        return try await ControlClient.connect(to: control)
    }

    /// Prints the result at the end of a command: the document with `--json`, else the text.
    /// - Parameter code: the exit code. `.success` becomes `.unwritten` if the result cannot be written.
    func print(_ document: JSONValue, text: String, code: ExitCode = .success) throws(ExitCode) {
        try printResult(json ? document.text(.indented) : text, code: code)
    }
}
