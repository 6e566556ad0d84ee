import CLinux
import Glibc
import SystemPackage

/// A regular file of another origin, read at chosen offsets.
public struct SourceFile: ~Copyable, Sendable {
    /// include/uapi/linux/fs.h. The C library declares them for GNU sources only.
    private static let (seekData, seekHole): (Int32, Int32) = (3, 4)

    private let descriptor: OwnedDescriptor
    public let path: String
    /// The file's length when it was opened.
    public let byteCount: UInt64
    /// The disk space that it took when it was opened.
    public let diskBytes: UInt64

    public init(_ path: String) throws(SystemError) { try self.init(path, writable: false) }

    /// - Parameter writable: for a file system that takes an exclusive lock only on a writable descriptor. Nothing is written.
    package init(_ path: String, writable: Bool) throws(SystemError) {
        // Non-blocking, because opening a FIFO would wait for a writer.
        let descriptor = try OwnedDescriptor.open(path, flags: (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK)
        var status = stat()
        try retryingInterrupts("examine the file", place: path) { unsafe fstat(descriptor.number, &status) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw SystemError("read the file", place: path, code: .isDirectory)
        default: throw SystemError("read the file", place: "\(path), which is not a regular file", code: .invalidArgument)
        }
        self.descriptor = descriptor
        self.path = path
        byteCount = UInt64(status.st_size)
        // POSIX: in units of 512 bytes.
        diskBytes = UInt64(status.st_blocks) * 512
    }

    /// The descriptor, for rings. This value owns it.
    package var number: Int32 { descriptor.number }

    /// The descriptor, for mappings.
    package func withDescriptor<Result: ~Copyable>(
        _ body: (borrowing OwnedDescriptor) throws(SystemError) -> Result
    ) throws(SystemError) -> Result {
        try body(descriptor)
    }

    /// Asks for reads that bypass the page cache; see `OwnedDescriptor.setDirect`.
    package func setDirect(_ isDirect: Bool) -> Bool { descriptor.setDirect(isDirect) }

    /// Fills some words of an array with the file's bytes from `offset`, without conversion. It is an error if the file ends before that.
    public func read<Word: FixedWidthInteger & BitwiseCopyable>(
        at offset: UInt64,
        into words: inout [Word],
        _ range: Range<Int>
    ) throws(SystemError) {
        precondition(range.lowerBound >= 0 && range.upperBound <= words.count, "words outside the array")
        let size = MemoryLayout<Word>.stride
        var done = 0
        while done < range.count * size {
            let position = Int(offset) + done
            let count = try retryingInterrupts("read the file", place: "\(path) at byte \(position)") {
                unsafe words.withUnsafeMutableBytes {
                    unsafe pread(descriptor.number, $0.baseAddress! + range.lowerBound * size + done, range.count * size - done, position)
                }
            }
            if count == 0 { throw Self.truncated(path, UInt64(position)) }
            done += count
        }
    }

    /// The first piece at or after `offset` that is not a hole; `nil` if there is none.
    ///
    /// What lies between pieces reads as zeros. On a file system without holes there is one piece.
    public func dataExtent(from offset: UInt64) throws(SystemError) -> Range<UInt64>? {
        guard offset < byteCount else { return nil }
        do throws(SystemError) {
            let start = UInt64(try seek(offset, Self.seekData))
            guard (offset..<byteCount).contains(start) else { return nil }
            // There is data at the start, so a hole that begins there appeared in the meantime. One byte is enough to make progress, and it
            // is data or zero.
            let end = max(UInt64(try seek(start, Self.seekHole)), start + 1)
            return start..<min(end, byteCount)
        } catch {
            switch error.code {
            case .noSuchAddressOrDevice:
                // There is a hole up to the end. Check that the end has not moved.
                if try seek(0, SEEK_END) < byteCount { throw Self.truncated(path, offset) }
                return nil
            case .invalidArgument: return offset..<byteCount
            default: throw error
            }
        }
    }

    private static func truncated(_ path: String, _ position: UInt64) -> SystemError {
        SystemError("read the file", place: "\(path) at byte \(position), where it ends now", code: .ioError)
    }

    private func seek(_ offset: UInt64, _ whence: Int32) throws(SystemError) -> Int {
        try retryingInterrupts("look for data in the file", place: "\(path) at byte \(offset)") {
            lseek(descriptor.number, Int(offset), whence)
        }
    }
}

/// Whether two paths lead to the same existing file.
public func areSameFile(_ first: String, _ second: String) -> Bool {
    var (one, other) = (stat(), stat())
    return unsafe stat(first, &one) == 0 && stat(second, &other) == 0 && one.st_ino == other.st_ino && one.st_dev == other.st_dev
}
