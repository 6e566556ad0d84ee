import AerostatHost
import AerostatMigration
import AerostatQMP
import ArgumentParser
import CommandSupport

/// Writes a migration's report to a file, with samples of it over time.
struct MigrationRecorder {
    private let file: OutputFile
    private let start = ContinuousClock.now
    private var samples: [JSONValue] = []
    /// How many reports make one sample. Doubled whenever the samples are full, so that a migration of days is recorded too.
    private var stride = 1
    private var seen = 0

    private static let maximumSamples = 4096

    /// Creates the file at once, so that an unwritable path is reported before the guest moves.
    init(path: String) throws {
        do throws(SystemError) { file = try OutputFile(path, .text) } catch { throw ValidationError("--record: \(error)") }
    }

    mutating func add(_ report: MigrationReport) {
        defer { seen += 1 }
        guard seen % stride == 0 else { return }
        var sample = report
        // The list of rounds is long, and the final report has all of it.
        sample.rounds = []
        guard let document = try? sample.json else { return }
        samples.append([
            "time-ms": .integer((ContinuousClock.now - start).milliseconds), "round": .integer(report.roundCount), "sample": document,
        ])
        if samples.count == Self.maximumSamples {
            samples = samples.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
            stride *= 2
        }
    }

    /// Prints an error on standard error if writing fails.
    func write(_ report: MigrationReport) {
        do {
            let document: JSONValue = ["report": try report.json, "samples": .array(samples)]
            try file.append(Array((document.text(.indented) + "\n").utf8))
            try file.finish()
        } catch {
            writeToStandardError("the record was not written: \(error)\n")
        }
    }
}
