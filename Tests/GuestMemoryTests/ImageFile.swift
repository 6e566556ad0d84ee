import AerostatGuestMemory
import AerostatHost
import CLinux
import Foundation
import Glibc
import Synchronization
import TestSupport

/// A file with a guest's memory: data at the pages that the test chooses, holes elsewhere. The pages start 2 MiB into the file.
struct ImageFile {
    static let offset: UInt64 = 2 << 20
    let path: String

    /// - Parameters:
    ///   - pages: the guest's page count.
    ///   - data: the pages with data; page p is filled with `byte(p)`.
    ///   - folder: the folder of the file.
    init(pages: Int, data: some Sequence<Int>, in folder: String = NSTemporaryDirectory()) throws {
        path = folder + "/aerostat-image-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        let file = try TestFile(path)
        for page in data {
            try file.write([UInt8](repeating: Self.byte(page), count: 4096), at: Self.offset + UInt64(page) * 4096)
        }
        try file.finish(byteCount: Self.offset + UInt64(pages) * 4096)
    }

    static func byte(_ page: Int) -> UInt8 { UInt8(page % 251) + 1 }

    /// Cuts the file short.
    func truncate(byteCount: UInt64) { unsafe Glibc.truncate(path, off_t(byteCount)) }

    func remove() { unsafe unlink(path) }

    func open() throws -> OwnedDescriptor { try OwnedDescriptor.open(path, flags: O_RDONLY) }

    func memory(pages: Int, data: some Sequence<Int>, coversHoles: Bool? = nil) throws -> GuestRAM {
        let bitmap = try PageSet(pageCount: pages)
        for page in data { bitmap.insert(PageIndex(page)) }
        return try GuestRAM(
            regionTable(pages: pages),
            backedBy: try open(),
            path: path,
            at: Self.offset,
            pages: bitmap,
            coversHoles: coversHoles
        )
    }

    /// The disk space that it takes, in units of 512 bytes.
    var blocks: Int {
        var status = stat()
        return unsafe stat(path, &status) == 0 ? Int(status.st_blocks) : -1
    }

    /// Makes the kernel drop the file from its page cache.
    func evict() throws {
        let file = try open()
        fdatasync(file.number)
        posix_fadvise(file.number, 0, 0, POSIX_FADV_DONTNEED)
    }
}

private let seen = Atomic<UInt8>(0)

extension PageSet {
    var allPages: [Int] {
        var found: [Int] = []
        forEachRun { found += Array($0.indices) }
        return found
    }
}

extension GuestRAM {
    func presentPages() throws -> [Int] {
        let present = try PageSet(pageCount: pageCount)
        try insertPresentPages(into: present)
        return present.allPages
    }

    func firstByte(_ page: Int) throws -> UInt8 { try load(at: GuestAddress(UInt64(page) * 4096)) }

    /// Reads a page whose content nobody needs. Uses an atomic, because the optimiser drops a load that has no use.
    func touch(_ page: Int) throws { seen.store(try firstByte(page), ordering: .relaxed) }

    func setFirstByte(_ page: Int, _ value: UInt8) throws { try store(value, at: GuestAddress(UInt64(page) * 4096)) }
}
