import CLinux
import Glibc
import SystemPackage

/// A file whose pages are memory: pages of the page cache only (memfd, tmpfs), huge pages (hugetlbfs), or pages of a disk file.
///
/// Its content outlives every mapping, and other processes may map it too. Only the file tells which pages exist, because the kernel may
/// drop a written page's entry from the page table.
package final class MemoryFile: Sendable {
    private let descriptor: OwnedDescriptor
    /// The unit in which the file allocates memory and gives it back: 4096 bytes, or one of its huge pages.
    package let unitBytes: Int
    /// Whether an embedder created it. Then it may hold pages that this process never touched.
    package let isAdopted: Bool

    package var hasHugePages: Bool { unitBytes > 4096 }
    package var number: Int32 { descriptor.number }

    private init(_ descriptor: consuming OwnedDescriptor, unitBytes: Int, isAdopted: Bool) {
        self.descriptor = descriptor
        self.unitBytes = unitBytes
        self.isAdopted = isAdopted
    }

    /// Creates an anonymous file of a fixed length. It takes memory only where it is touched.
    /// - Parameter hugePages: uses huge pages of 2 MiB; `byteCount` must then be a multiple of that.
    package static func anonymous(_ name: String, byteCount: UInt64, hugePages: Bool) throws(SystemError) -> MemoryFile {
        let flags = hugePages ? aerostat_mfd_hugetlb | aerostat_mfd_huge_2mb : 0
        let number = try retryingInterrupts("create a memory file", place: name) {
            unsafe aerostat_memfd_create(name, aerostat_mfd_cloexec | aerostat_mfd_allow_sealing | flags)
        }
        let file = OwnedDescriptor(adopting: number)
        try retryingInterrupts("give a memory file its length", place: "\(byteCount) bytes") { ftruncate(file.number, off_t(byteCount)) }
        // Without the seals, somebody could cut the file short, and touching the missing part would end the process.
        let seals = aerostat_f_seal_shrink | aerostat_f_seal_grow
        try retryingInterrupts("seal a memory file", place: name) { aerostat_fcntl(file.number, aerostat_f_add_seals, seals) }
        return MemoryFile(file, unitBytes: hugePages ? Mapping.hugePageBytes : 4096, isAdopted: false)
    }

    /// Opens an embedder's file again; the embedder may close its own descriptor afterwards.
    package static func adopting(_ number: Int32) throws(SystemError) -> MemoryFile {
        // Open it again to get a separate file position, because looking for data moves the position. Without /proc the position is shared.
        var copy = unsafe aerostat_open("/proc/self/fd/\(number)", O_RDWR | O_CLOEXEC, 0)
        if copy < 0 { copy = try retryingInterrupts("use descriptor \(number)") { aerostat_fcntl(number, F_DUPFD_CLOEXEC, 0) } }
        let file = OwnedDescriptor(adopting: copy)
        var status = stat()
        try retryingInterrupts("examine descriptor \(number)") { unsafe fstat(file.number, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw SystemError("use descriptor \(number) as memory", place: "it is not a file", code: .invalidArgument)
        }
        var system = statfs()
        try retryingInterrupts("examine descriptor \(number)") { unsafe fstatfs(file.number, &system) }
        let isHuge = UInt64(truncatingIfNeeded: system.f_type) == aerostat_hugetlbfs_magic
        return MemoryFile(file, unitBytes: isHuge ? Int(system.f_bsize) : 4096, isAdopted: true)
    }

    /// The file's length now.
    package func byteCount() throws(SystemError) -> UInt64 {
        var status = stat()
        try retryingInterrupts("ask for a memory file's length") { unsafe fstat(descriptor.number, &status) }
        return UInt64(max(0, status.st_size))
    }

    /// How much memory or disk space the file takes.
    package func allocatedBytes() throws(SystemError) -> UInt64 {
        var status = stat()
        try retryingInterrupts("ask what a memory file takes") { unsafe fstat(descriptor.number, &status) }
        // POSIX: in units of 512 bytes.
        return UInt64(max(0, status.st_blocks)) * 512
    }

    /// Gives a part back to the host. It reads as zero in every mapping and takes no memory until it is touched again.
    /// - Parameter part: whole units.
    package func punchHole(_ part: Range<UInt64>) throws(SystemError) {
        precondition((part.lowerBound | part.upperBound) % UInt64(unitBytes) == 0, "a hole is whole units")
        try retryingInterrupts("make a hole in a memory file", place: "\(part.count) bytes at \(part.lowerBound)") {
            aerostat_punch_hole(descriptor.number, part.lowerBound, UInt64(part.count))
        }
    }

    /// Calls `body` with each stretch of a part that may hold something other than zeros, ascending. Not for files of huge pages, because
    /// the kernel does not tell where those hold data.
    package func forEachExtent(in part: Range<UInt64>, _ body: (Range<UInt64>) throws(SystemError) -> Void) throws(SystemError) {
        precondition(!hasHugePages, "a file of huge pages does not tell where they are")
        var position = part.lowerBound
        while position < part.upperBound {
            let start = lseek(descriptor.number, off_t(position), aerostat_seek_data)
            if start < 0 {
                // There is only a hole from here to the end.
                if errno == ENXIO { return }
                throw SystemError.current("look for data in a memory file", place: "at \(position)")
            }
            guard UInt64(start) < part.upperBound else { return }
            let hole = lseek(descriptor.number, start, aerostat_seek_hole)
            if hole < 0, errno != ENXIO { throw SystemError.current("look for a hole in a memory file", place: "at \(start)") }
            // Another thread may have punched a hole between the two calls. Reporting one page too many does no harm.
            let end = min(max(UInt64(max(hole, 0)), UInt64(start) + 4096), part.upperBound)
            try body(UInt64(start)..<end)
            position = end
        }
    }
}

/// Whether this host may swap memory out.
package func hostHasSwap() -> Bool {
    do throws(SystemError) {
        let file = try OwnedDescriptor.open("/proc/swaps", flags: O_RDONLY)
        var text = [UInt8](repeating: 0, count: 4096)
        let count = try retryingInterrupts("read /proc/swaps") { unsafe read(file.number, &text, text.count) }
        // The file has one heading line, and one line for each device.
        return text.prefix(count).split(separator: UInt8(ascii: "\n")).count > 1
    } catch {
        // Unknown, so assume that it may.
        return true
    }
}
