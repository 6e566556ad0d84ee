import CLinux
import Glibc
import SystemPackage

/// Anonymous private memory of this process. Reserved at once, populated page by page when touched.
@safe public struct Mapping: ~Copyable, @unchecked Sendable {
    // @unchecked: an address and a length that never change. Whoever uses the memory guards what lies there.

    /// The first byte. Page aligned, and aligned to 2 MiB if the mapping is at least that long.
    public let base: UnsafeMutableRawPointer
    /// Length in bytes, whole pages.
    public let byteCount: Int

    /// The size of a transparent huge page on x86-64 and of a level-2 block on arm64 with 4 KiB pages.
    public static let hugePageBytes = 2 << 20

    /// Reserves address space without committing memory to it.
    /// - Parameter byteCount: whole 4 KiB pages, more than zero.
    public init(anonymousByteCount byteCount: Int) throws(SystemError) {
        precondition(byteCount > 0 && byteCount % 4096 == 0, "a mapping is whole pages")
        // Reserve more, then give back the excess, so that huge pages fit from the first byte.
        let slack = byteCount >= Self.hugePageBytes ? Self.hugePageBytes : 0
        let raw = unsafe mmap(
            nil,
            byteCount + slack,
            PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
            -1,
            0
        )
        guard let raw = unsafe raw, unsafe raw != aerostat_map_failed else {
            throw SystemError.current("reserve memory", place: exactSize(UInt64(byteCount)))
        }
        var start = unsafe raw
        if slack > 0 {
            let lead = (Self.hugePageBytes - Int(bitPattern: raw) % Self.hugePageBytes) % Self.hugePageBytes
            unsafe start = raw + lead
            if lead > 0 { unsafe munmap(raw, lead) }
            if slack > lead { unsafe munmap(start + byteCount, slack - lead) }
        }
        unsafe base = start
        self.byteCount = byteCount
    }

    deinit { unsafe munmap(base, byteCount) }
}
