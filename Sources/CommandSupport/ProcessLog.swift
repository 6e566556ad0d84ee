import AerostatHost
import Glibc
import Logging

/// The process's log on standard error, written by a thread that nothing else waits for. A log that nobody reads must not stop the guest,
/// its migration, or the answer to "quit".
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

    /// Sends loggers' messages there from now on.
    package static func begin() { LoggingSystem.bootstrap { StreamLogHandler(label: $0, stream: Stream()) } }

    /// Waits a moment until logged lines are written.
    package static func flush() { writer.flush(within: grace) }

    package static func end() { flush() }
}
