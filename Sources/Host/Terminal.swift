import CLinux
import Glibc

/// The terminal of standard error, if there is one.
public enum Terminal {
    /// Whether standard error is a terminal.
    public static var isStandardErrorTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// The columns of standard error's terminal; 80 if it does not tell.
    public static var columns: Int {
        var size = winsize()
        guard unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}
