package import AerostatHost
import Glibc

/// A test's own file, written at chosen offsets. What is not written is a hole.
package struct TestFile: ~Copyable {
    private let descriptor: OwnedDescriptor
    private let path: String

    /// Creates the file, or empties it.
    package init(_ path: String) throws(SystemError) {
        descriptor = try OwnedDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC)
        self.path = path
    }

    package func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) { try descriptor.writeAll(bytes, at: offset, path: path) }

    package func write(_ text: String) throws(SystemError) { try write(Array(text.utf8), at: 0) }

    /// Gives the file its full length.
    package func finish(byteCount: UInt64) throws(SystemError) {
        try retryingInterrupts("extend the file", place: path) { ftruncate(descriptor.number, Int(byteCount)) }
    }
}
