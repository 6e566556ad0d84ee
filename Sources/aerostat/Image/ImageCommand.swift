import AerostatMigration
import AerostatMigrationIO
import AerostatQMP
import ArgumentParser
import CommandSupport

/// `aerostat image`: what can be done with a guest image while nobody runs it.
struct ImageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image",
        abstract: "Looks into guest images, checks and compares them; makes one of a real machine's memory.",
        discussion: """
            'aerostat migrate file:PATH' writes an image, 'aerostat run --restore file:PATH' starts it.

            Exits with 0 where all is well; 1 when an image cannot be read or is refused (torn, cut off, foreign, of a newer version); 2 \
            when \
            a checksum or a page differs; 64 for usage.
            """,
        subcommands: [ImageInfo.self, ImageVerify.self, ImageCompare.self, ImageImport.self]
    )
}

/// What every subcommand that reads images takes.
struct ImageOptions: ParsableArguments {
    @Flag(help: "Print one JSON document on stdout; text for people goes to stderr.")
    var json = false

    /// Prints the result, at the end of a command: the document under `--json`, else the text.
    /// - Parameter code: what the command ends with where the result could be written.
    func print(_ document: JSONValue, text: String, code: ExitCode = .success) throws(ExitCode) {
        try printResult(json ? document.text(.indented) : text, code: code)
    }
}

/// Rows for people: names on the left, what they stand for on the right.
func imageTable(_ rows: [(String, String)]) -> [String] {
    rows.map { "  " + $0.0 + String(repeating: " ", count: max(20 - $0.0.count, 1)) + $0.1 }
}
