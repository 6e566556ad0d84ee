import ArgumentParser
import Control

/// What every subcommand that speaks to a guest takes.
struct ControlOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The guest's control socket.", valueName: "path"), completion: .file(), transform: Values.controlPath)
    var control: String

    @Flag(help: "Print one JSON document on stdout; text for people goes to stderr.")
    var json = false

    func connect() async throws(ControlError) -> ControlClient { try await ControlClient.connect(to: control) }

    /// Prints the result: the document under `--json`, else the text.
    func print(_ document: JSONValue, text: String) {
        if json {
            Swift.print(document.text(.indented))
        } else {
            Swift.print(text)
        }
    }
}
