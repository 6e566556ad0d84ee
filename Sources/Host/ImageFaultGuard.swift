import CLinux
import Glibc
import SystemPackage

/// While this exists, an access to memory that its file can no longer provide (the file was cut short, or its disk failed) ends the process
/// with status 1 and one line that names file, offset and page. Otherwise the process would die of a bare SIGBUS.
///
/// Only for this process's own accesses. The kernel's accesses on its behalf fail with `EFAULT`.
package struct ImageFaultGuard: ~Copyable, Sendable {
    private let slot: Int32

    /// - Parameters:
    ///   - memory: the mapping of the file, from its first page.
    ///   - path: the file's name, for the message.
    ///   - fileOffset: where the first page lies in the file.
    package init(_ memory: borrowing Mapping, path: String, fileOffset: UInt64) throws(SystemError) {
        let slot = unsafe aerostat_add_image_range(
            UInt64(UInt(bitPattern: memory.base)),
            UInt64(memory.byteCount),
            fileOffset,
            path
        )
        guard slot >= 0 else {
            throw SystemError("watch over guest memory from more than \(AEROSTAT_IMAGE_RANGES) files", place: path, code: .resourceBusy)
        }
        self.slot = slot
    }

    deinit { aerostat_remove_image_range(slot) }
}
