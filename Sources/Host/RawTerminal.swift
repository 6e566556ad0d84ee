import CLinux
import Glibc

/// A terminal in raw mode: keys come one by one, unseen, and none of them is a signal. It gets its own mode back when this value ends and
/// however else the process ends, short of SIGKILL.
///
/// There is one at a time in a process.
public struct RawTerminal: ~Copyable, Sendable {
    /// - Parameter descriptor: a terminal's.
    public init(_ descriptor: Int32) throws(SystemError) {
        try retryingInterrupts("put the terminal into raw mode") { aerostat_make_terminal_raw(descriptor) }
    }

    deinit { aerostat_restore_terminal() }

    /// After the process was stopped and continued: the shell has given the terminal another mode meanwhile.
    public static func reapply() { aerostat_reapply_raw_mode() }

    /// Whether a descriptor is a terminal whose keys come to this process, and not to another job of the same shell.
    public static func isInteractive(_ descriptor: Int32) -> Bool {
        guard isatty(descriptor) == 1 else { return false }
        let foreground = tcgetpgrp(descriptor)
        // Of a terminal that does not control this process there are no jobs.
        return foreground < 0 || foreground == getpgrp()
    }
}
