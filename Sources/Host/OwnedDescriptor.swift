import CLinux
import Glibc

/// A file descriptor with exactly one owner, closed when the owner ends.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The descriptor's number, valid while this value exists.
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

    /// Asks for reads and writes that bypass the page cache. They must consist of whole, aligned blocks.
    /// - Returns: whether the file system claims to support it.
    package func setDirect(_ isDirect: Bool) -> Bool {
        let flags = aerostat_fcntl(number, F_GETFL, 0)
        return flags >= 0 && aerostat_fcntl(number, F_SETFL, isDirect ? flags | aerostat_o_direct : flags & ~aerostat_o_direct) == 0
    }
}

/// Both ends of a pipe, closed on exec.
public struct PipeEnds: ~Copyable, Sendable {
    public let reader: OwnedDescriptor
    private var writer: OwnedDescriptor?
    /// The descriptor to write to; -1 after that end was closed here.
    public private(set) var writingNumber: Int32

    public init() throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        try retryingInterrupts("make a pipe") { unsafe aerostat_pipe(&ends) }
        reader = OwnedDescriptor(adopting: ends[0])
        writer = OwnedDescriptor(adopting: ends[1])
        writingNumber = ends[1]
    }

    /// Closes the writing end here, so that the reader sees the end when the process with the other copy ends.
    public mutating func closeWriter() {
        writer = nil
        writingNumber = -1
    }
}
