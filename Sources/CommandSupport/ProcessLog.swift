import AerostatHost
import Glibc
import Logging

/// The process's log: on standard error, written by a thread that nothing else waits for. A log that nobody reads must neither stop the
/// guest, nor its migration, nor the answer to "quit".
package enum ProcessLog {
    /// How long the end of the process waits for the last lines.
    private static let grace = Duration.milliseconds(200)

    private static let writer = LineWriter(to: STDERR_FILENO) { count in
        "aerostat: \(count) "
            + "\(count == 1 ? "line" : "lines") of the log were lost here: nobody read standard error, or it could not be written"
    }

    private struct Stream: TextOutputStream {
        mutating func write(_ line: String) { writer.put(line) }
    }

    /// Sends there what loggers say, from now on.
    package static func begin() { LoggingSystem.bootstrap { StreamLogHandler(label: $0, stream: Stream()) } }

    /// Waits a moment for what was logged to be read.
    package static func flush() { writer.flush(within: grace) }

    package static func end() { flush() }
}
