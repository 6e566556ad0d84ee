import AerostatHost
import Foundation

/// `aerostat run` with its standard input and output on a terminal whose other end a test holds.
final class TerminalGuest: Sendable {
    private let near: OwnedDescriptor
    private let far: OwnedDescriptor
    private let errors: Capture
    private let process = Process()
    private let ended = Monitor(false)
    /// The terminal's own mode.
    private let ownMode: Mode

    /// The part of a terminal's mode that a shell relies on.
    struct Mode: Hashable, Sendable {
        let local: UInt32
        let input: UInt32
        let output: UInt32
        var isRaw: Bool { local & UInt32(ECHO | ICANON | ISIG) == 0 }
    }

    init(_ arguments: [String]) throws {
        var (near, far) = (Int32(-1), Int32(-1))
        guard unsafe openpty(&near, &far, nil, nil, nil) == 0 else { throw TooLate(description: "no terminal: errno \(errno)") }
        self.near = OwnedDescriptor(adopting: near)
        self.far = OwnedDescriptor(adopting: far)
        ownMode = Self.mode(of: far)
        errors = try Capture()
        process.executableURL = URL(filePath: Aerostat.path)
        process.arguments = ["run"] + arguments
        // The tests send signals to it. Swift's own crash handler would ask questions on the terminal, and a sanitizer's would report them.
        var environment = ProcessInfo.processInfo.environment
        environment["SWIFT_BACKTRACE"] = "enable=no"
        for name in ["ASAN_OPTIONS", "TSAN_OPTIONS"] {
            environment[name] = (environment[name].map { $0 + ":" } ?? "") + "handle_segv=0:handle_sigfpe=0"
        }
        process.environment = environment
        // A child would inherit the signals that a test runner ignores.
        Foundation.signal(SIGQUIT, SIG_DFL)
        let terminal = FileHandle(fileDescriptor: far, closeOnDealloc: false)
        (process.standardInput, process.standardOutput) = (terminal, terminal)
        process.standardError = errors.handle
        process.terminationHandler = { [ended] _ in ended.update { $0 = true } }
        try process.run()
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

    private static func mode(of terminal: Int32) -> Mode {
        var mode = termios()
        unsafe tcgetattr(terminal, &mode)
        return Mode(local: mode.c_lflag, input: mode.c_iflag, output: mode.c_oflag)
    }

    var mode: Mode { Self.mode(of: far.number) }
    var hasOwnMode: Bool { mode == ownMode }
    var log: String { errors.text }
    var hasEnded: Bool { ended.withLock { $0 } }
    var exitCode: Int32 { process.exitCode }

    func awaitReady() async throws {
        try await eventually("the guest process is ready") {
            if hasEnded { throw TooLate(description: "the process ended before it was ready: \(log)") }
            return log.contains("\"READY\"")
        }
    }

    /// Restores the terminal as a shell does when its job has stopped.
    func restoreByHand() {
        var mode = termios()
        unsafe tcgetattr(far.number, &mode)
        (mode.c_lflag, mode.c_iflag, mode.c_oflag) = (ownMode.local, ownMode.input, ownMode.output)
        unsafe tcsetattr(far.number, TCSANOW, &mode)
    }

    func awaitEnd() async throws { try await eventually("the process ends") { hasEnded } }

    func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    func type(_ keys: [UInt8]) { _ = unsafe write(near.number, keys, keys.count) }

    /// The output that was not read yet. Does not wait.
    func read() -> [UInt8] {
        var entry = pollfd(fd: near.number, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&entry, 1, 0) == 1 else { return [] }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe Foundation.read(near.number, &bytes, bytes.count)
        return count > 0 ? Array(bytes[..<count]) : []
    }
}
