package import AerostatGuestMemory
package import AerostatHost
import CLinux
import Glibc

/// Everything that can back a block of guest memory, for tests that hold for all of it.
package enum TestBacking: String, CaseIterable, Sendable, CustomStringConvertible {
    case anonymous, sharedAnonymous, memfd, hugePages
    case adoptedFile, adoptedPrivateAddress, adoptedSharedAddress, adoptedFileAddress, adoptedHugeFile

    package var description: String { rawValue }
    package var hasHugePages: Bool { self == .hugePages || self == .adoptedHugeFile }
    /// The number of pages that are given back together.
    package var unitPages: Int { hasHugePages ? 512 : 1 }
    package var isShared: Bool { self != .anonymous && self != .adoptedPrivateAddress }

    /// All backings; without huge pages if the host has none to give. `echo 64 > /proc/sys/vm/nr_hugepages` provides them.
    package static let available = allCases.filter { !$0.hasHugePages || hostHasHugePages }

    /// Whether the huge pages that the tests need are free.
    package static let hostHasHugePages: Bool = {
        guard let file = unsafe fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r") else { return false }
        defer { unsafe fclose(file) }
        var line = [CChar](repeating: 0, count: 32)
        guard unsafe fgets(&line, 32, file) != nil else { return false }
        return unsafe atol(line) >= 16
    }()
}

/// Memory that an embedder has and gives to the guest.
@safe
package final class EmbeddersMemory: @unchecked Sendable {
    // @unchecked: an address that never changes.

    package let address: UnsafeMutableRawPointer
    /// -1 without a file.
    package let descriptor: Int32
    private let byteCount: Int
    private static let hugePages = aerostat_mfd_hugetlb | aerostat_mfd_huge_2mb
    /// The offset in the file where the address begins. Not 0, so that code that forgets it fails.
    package let offset: UInt64

    /// - Parameter unit: the file's page size; 0 without a file.
    package init(byteCount: Int, isShared: Bool, fileUnit unit: Int) {
        self.byteCount = byteCount
        offset = UInt64(2 * unit)
        var number: Int32 = -1
        if unit > 0 {
            number = unsafe aerostat_memfd_create("embedder", aerostat_mfd_allow_sealing | (unit > 4096 ? Self.hugePages : 0))
            precondition(number >= 0 && ftruncate(number, Int(offset) + byteCount) == 0, "a memory file for the test")
        }
        descriptor = number
        // Extra room, to begin at a multiple of 2 MiB.
        let flags = (isShared ? MAP_SHARED : MAP_PRIVATE) | (unit == 0 ? MAP_ANONYMOUS : 0)
        let reserved = unsafe mmap(nil, byteCount + 2 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)!
        let start = unsafe reserved + (2 << 20 - Int(bitPattern: reserved) % (2 << 20)) % (2 << 20)
        let mapped = unsafe mmap(start, byteCount, PROT_READ | PROT_WRITE, flags | MAP_FIXED, number, off_t(offset))!
        precondition(unsafe mapped == start, "memory for the test")
        unsafe address = mapped
    }

    deinit {
        unsafe munmap(address, byteCount)
        if descriptor >= 0 { close(descriptor) }
    }
}

/// A guest's memory with one kind of backing.
package struct BackedMemory: Sendable {
    package let memory: GuestRAM
    package let backing: TestBacking
    /// The backing's embedder, if it has one.
    package let embedder: EmbeddersMemory?

    package init(_ backing: TestBacking, pages: Int) throws {
        let regions = regionTable(pages: pages)
        let region = regions.regions[0]
        let bytes = pages * GuestPage.size
        self.backing = backing
        embedder = Self.embedder(backing, bytes)
        memory = try GuestRAM(regions, blocks: [MemoryBlock(region, Self.backing(backing, embedder))])
    }

    package static func embedder(_ backing: TestBacking, _ byteCount: Int) -> EmbeddersMemory? {
        switch backing {
        case .anonymous, .sharedAnonymous, .memfd, .hugePages: nil
        case .adoptedPrivateAddress: EmbeddersMemory(byteCount: byteCount, isShared: false, fileUnit: 0)
        case .adoptedSharedAddress: EmbeddersMemory(byteCount: byteCount, isShared: true, fileUnit: 0)
        case .adoptedFile, .adoptedFileAddress: EmbeddersMemory(byteCount: byteCount, isShared: true, fileUnit: 4096)
        case .adoptedHugeFile: EmbeddersMemory(byteCount: byteCount, isShared: true, fileUnit: 2 << 20)
        }
    }

    package static func backing(_ backing: TestBacking, _ embedder: EmbeddersMemory?) throws(SystemError) -> MemoryBacking {
        switch backing {
        case .anonymous: .anonymous
        case .sharedAnonymous: .sharedAnonymous
        case .memfd: .memfd
        case .hugePages: .hugePages
        case .adoptedPrivateAddress: .adopted(unsafe AdoptedMemory(privateAnonymousAt: embedder!.address, owner: embedder))
        case .adoptedSharedAddress: .adopted(unsafe AdoptedMemory(sharedAnonymousAt: embedder!.address, owner: embedder))
        case .adoptedFile, .adoptedHugeFile: .adopted(try AdoptedMemory(descriptor: embedder!.descriptor, offset: embedder!.offset))
        case .adoptedFileAddress:
            .adopted(
                unsafe try AdoptedMemory(
                    sharedFileAt: embedder!.address,
                    descriptor: embedder!.descriptor,
                    offset: embedder!.offset,
                    owner: embedder
                )
            )
        }
    }

    /// The number of pages of a run that take memory now.
    package func residentPages(in run: PageRun) -> Int {
        var states = [UInt8](repeating: 0, count: run.count)
        let result = unsafe mincore(memory.hostAddress(of: run), run.byteCount, &states)
        precondition(result == 0, "mincore")
        return states.count { $0 & 1 != 0 }
    }
}
