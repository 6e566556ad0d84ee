import CLinux
import Glibc
import SystemPackage

/// As long as it lives, memory that its file can no longer provide (cut short, or on a failed disk) ends the process with status 1 and
/// one line that names file, offset and page, where it would otherwise die of a bare SIGBUS.
///
/// Only for this process's own accesses: the kernel's, on its behalf, fail with `EFAULT`.
package struct ImageFaultGuard: ~Copyable, Sendable {
    private let slot: Int32

    /// - Parameters:
    ///   - memory: what is mapped, from its first page on.
    ///   - path: how people know the file.
    ///   - fileOffset: where in the file the first page lies.
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
