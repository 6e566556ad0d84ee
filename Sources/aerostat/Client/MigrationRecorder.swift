import AerostatHost
import AerostatMigration
import AerostatQMP
import ArgumentParser
import CommandSupport

/// Writes a migration's report, and samples of it over time, to a file.
struct MigrationRecorder {
    private let file: OutputFile
    private let start = ContinuousClock.now
    private var samples: [JSONValue] = []
    /// How many reports make one sample: doubled whenever the samples are full, so that a migration of days is recorded too.
    private var stride = 1
    private var seen = 0

    private static let maximumSamples = 4096

    /// Begins the file at once: a path that cannot be written is better known before the guest has moved.
    init(path: String) throws {
        do throws(SystemError) { file = try OutputFile(path, .text) } catch { throw ValidationError("--record: \(error)") }
    }

    mutating func add(_ report: MigrationReport) {
        defer { seen += 1 }
        guard seen % stride == 0 else { return }
        var sample = report
        // These are long, and whole in the report.
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

    /// Says on standard error where it could not.
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
