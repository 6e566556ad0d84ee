import CLinux
import Glibc

/// A terminal in raw mode: keys arrive one at a time, are not echoed, and are never signals. The terminal's own mode is restored when this
/// value ends, and on any other end of the process except SIGKILL.
///
/// A process has only one at a time.
public struct RawTerminal: ~Copyable, Sendable {
    /// - Parameter descriptor: the descriptor of a terminal.
    public init(_ descriptor: Int32) throws(SystemError) {
        try retryingInterrupts("put the terminal into raw mode") { aerostat_make_terminal_raw(descriptor) }
    }

    deinit { aerostat_restore_terminal() }

    /// Call this after the process was stopped and continued: the shell has set another mode in the meantime.
    public static func reapply() { aerostat_reapply_raw_mode() }

    /// Whether a descriptor is a terminal whose keys go to this process, and not to another job of the same shell.
    public static func isInteractive(_ descriptor: Int32) -> Bool {
        guard isatty(descriptor) == 1 else { return false }
        let foreground = tcgetpgrp(descriptor)
        // A terminal that does not control this process has no job control, so there is nothing to compare.
        return foreground < 0 || foreground == getpgrp()
    }
}
