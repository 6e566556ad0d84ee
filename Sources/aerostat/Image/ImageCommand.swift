import AerostatMigration
import AerostatMigrationIO
import AerostatQMP
import ArgumentParser
import CommandSupport

/// `aerostat image`: commands for guest images that nobody runs.
struct ImageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image",
        abstract: "Inspects, verifies and compares guest images, and makes one of a real machine's memory.",
        discussion: """
            'aerostat migrate file:PATH' writes an image, 'aerostat run --restore file:PATH' starts it.

            Exits with 0 if all is well; 1 if an image cannot be read or is refused (torn, cut off, foreign, of a newer version); 2 if a \
            checksum or a page differs; 64 for usage.
            """,
        subcommands: [ImageInfo.self, ImageVerify.self, ImageCompare.self, ImageImport.self]
    )
}

/// The options of every subcommand that reads images.
struct ImageOptions: ParsableArguments {
    @Flag(help: "Print one JSON document on stdout; text for people goes to stderr.")
    var json = false

    /// Prints the result at the end of a command: the document with `--json`, else the text.
    /// - Parameter code: the exit code. `.success` becomes `.unwritten` if the result cannot be written.
    func print(_ document: JSONValue, text: String, code: ExitCode = .success) throws(ExitCode) {
        try printResult(json ? document.text(.indented) : text, code: code)
    }
}

/// Lays out rows for people: names on the left, values on the right.
func imageTable(_ rows: [(String, String)]) -> [String] {
    rows.map { "  " + $0.0 + String(repeating: " ", count: max(20 - $0.0.count, 1)) + $0.1 }
}
