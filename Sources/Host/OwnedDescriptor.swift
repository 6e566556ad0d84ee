import CLinux
import Glibc

/// A file descriptor with exactly one owner, closed when the owner ends.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The descriptor's number, valid as long as this value lives.
    public let number: Int32

    /// Takes over a descriptor that nobody else will close.
    public init(adopting number: Int32) {
        precondition(number >= 0, "a descriptor is not negative")
        self.number = number
    }

    deinit { _ = Glibc.close(number) }

    /// Hands the descriptor over; the caller closes it.
    public consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }

    /// Opens a file with `open(2)` flags; close-on-exec is always set.
    public static func open(_ path: String, flags: Int32, mode: UInt32 = 0o644) throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: try retryingInterrupts("open the file", place: path) { unsafe aerostat_open(path, flags | O_CLOEXEC, mode) }
        )
    }

    /// Asks for reads and writes past the page cache, which take whole blocks at whole blocks only.
    /// - Returns: whether the file system says that it can.
    package func setDirect(_ isDirect: Bool) -> Bool {
        let flags = aerostat_fcntl(number, F_GETFL, 0)
        return flags >= 0 && aerostat_fcntl(number, F_SETFL, isDirect ? flags | aerostat_o_direct : flags & ~aerostat_o_direct) == 0
    }
}

/// Both ends of a pipe, closed on exec.
public struct PipeEnds: ~Copyable, Sendable {
    public let reader: OwnedDescriptor
    private var writer: OwnedDescriptor?
    /// Where to write; -1 once that end was closed here.
    public private(set) var writingNumber: Int32

    public init() throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        try retryingInterrupts("make a pipe") { unsafe aerostat_pipe(&ends) }
        reader = OwnedDescriptor(adopting: ends[0])
        writer = OwnedDescriptor(adopting: ends[1])
        writingNumber = ends[1]
    }

    /// So that the end of whoever has the other copy is the end of what is read.
    public mutating func closeWriter() {
        writer = nil
        writingNumber = -1
    }
}
