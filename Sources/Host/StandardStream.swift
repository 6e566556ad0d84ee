import CLinux
import Glibc
public import SystemPackage

/// One of the process's own standard streams. The parent process chose them: they may be closed, full, or without a reader.
///
/// A write waits only for a bounded time, and its failure is an error: never a trap, and never silent.
public struct StandardStream: Sendable {
    /// Standard output.
    public static let output = StandardStream(STDOUT_FILENO, name: "standard output")
    /// Standard error.
    public static let error = StandardStream(STDERR_FILENO, name: "standard error")

    private let descriptor: Int32
    private let name: String

    /// - Parameter name: its name for people.
    package init(_ descriptor: Int32, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    /// Why not everything was written.
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case system(stream: String, Errno)
        /// The stream is full, and nobody reads from it.
        case unread(stream: String, for: Duration)

        public var description: String {
            switch self {
            case .system(let stream, let code): "could not write to \(stream): \(code)"
            case .unread(let stream, .zero): "\(stream) is full, and nobody reads it"
            case .unread(let stream, let time): "\(stream) is full, and nobody has read it for \(time)"
            }
        }
    }

    /// How long the reader of a command's result may read nothing. A pager that shows its first page does that. But a reader that hangs
    /// must not keep the command, and its exit code, for ever.
    public static let patience = Duration.seconds(30)

    /// A pipe that reports room accepts this many bytes completely and without waiting (PIPE_BUF).
    private static let pieceBytes = 4096

    /// Writes all of a text.
    /// - Parameter patience: how long the stream may accept nothing; zero writes only what it accepts immediately.
    /// - Throws: the reason why some of it was not written.
    public func write(_ text: String, patience: Duration = patience) throws(Failure) {
        var rest = Array(text.utf8)[...]
        var deadline = MonotonicClock.now() + patience
        while !rest.isEmpty {
            try waitForRoom(until: deadline, patience)
            let piece = rest.prefix(Self.pieceBytes)
            let count = unsafe piece.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
                deadline = MonotonicClock.now() + patience
            } else if count == 0 || errno != EINTR && errno != EAGAIN {
                throw .system(stream: name, count == 0 ? .ioError : Errno(rawValue: errno))
            }
        }
    }

    /// Returns when a write would not block, because there is room or because it would fail.
    private func waitForRoom(until deadline: MonotonicClock.Instant, _ patience: Duration) throws(Failure) {
        while true {
            let left = max(MonotonicClock.now().duration(to: deadline), .zero)
            let milliseconds = left == .zero ? 0 : Int32(clamping: left.wholeMilliseconds + 1)
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            let count = unsafe poll(&entry, 1, milliseconds)
            if count > 0 { return }
            if count < 0, errno != EINTR { throw .system(stream: name, Errno(rawValue: errno)) }
            if count == 0, left == .zero { throw .unread(stream: name, for: patience) }
        }
    }
}

extension StandardStream {
    /// Makes the process's three streams safe to use. Call this before anything else opens a descriptor.
    ///
    /// Opens /dev/null for those of 0, 1 and 2 that are closed. Otherwise the next descriptors that anybody opens would get these numbers,
    /// and output for people would go into them. Standard output is opened for reading, so that a result which nobody can see is a failed
    /// write, and does not count as printed. SIGPIPE is ignored: when a reader goes away, that is a failed write, not the end of the
    /// process.
    public static func prepare() {
        for (number, flags) in [(STDIN_FILENO, O_RDONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_WRONLY)] {
            guard fcntl(number, F_GETFD) < 0, errno == EBADF else { continue }
            // It gets the lowest free number, which is this one.
            _ = unsafe open("/dev/null", flags)
        }
        signal(SIGPIPE, SIG_IGN)
    }
}
