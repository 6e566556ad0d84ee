import CLinux
import Glibc
import SystemPackage

/// A file written at chosen offsets; what is not written is a hole.
public struct DumpFile: ~Copyable {
    private let descriptor: OwnedDescriptor
    private let path: String

    /// Creates the file, or empties it; not one that somebody holds a lock on, such as an image from which a guest runs.
    public init(_ path: String) throws(SystemError) {
        let file = try OwnedDescriptor.open(path, flags: O_WRONLY | O_CREAT, mode: 0o600)
        guard flock(file.number, LOCK_EX | LOCK_NB) == 0 else {
            let code = Errno(rawValue: errno)
            throw SystemError("write the file: somebody uses it, maybe a guest that runs from it", place: path, code: code)
        }
        try retryingInterrupts("empty the file", place: path) { ftruncate(file.number, 0) }
        descriptor = file
        self.path = path
    }

    /// Writes all of `bytes`.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            let written = try retryingInterrupts("write to the file", place: path) {
                unsafe bytes.withUnsafeBytes {
                    unsafe pwrite(descriptor.number, $0.baseAddress! + done, bytes.count - done, Int(offset) + done)
                }
            }
            done += written
        }
    }

    /// Gives the file its full length.
    public func finish(byteCount: UInt64) throws(SystemError) {
        try retryingInterrupts("extend the file", place: path) { ftruncate(descriptor.number, Int(byteCount)) }
    }
}
