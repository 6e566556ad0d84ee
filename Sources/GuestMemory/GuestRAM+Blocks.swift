import AerostatHost
import CLinux
import Glibc
import Synchronization

/// A stretch of guest memory that is present, and where it lies in this process: what a KVM memory slot needs.
@safe
public struct HostRange: @unchecked Sendable {
    // @unchecked: the address never changes. Whoever uses the memory guards what lies there.

    /// Lies inside one of the guest's regions.
    public let region: MemoryRegion
    /// Page aligned. Valid as long as the guest's memory exists.
    @unsafe public let address: UnsafeMutableRawPointer
    /// The memory file behind it and the offset in the file; `nil` if there is no file. The descriptor stays the memory's own: do not close
    /// it.
    public let file: (descriptor: Int32, offset: UInt64)?
}

// Plugging and unplugging blocks of memory.
extension GuestRAM {
    /// Reserves the space of the regions and plugs the blocks that the guest starts with. The rest of the space is absent.
    ///
    /// The block at the start of the first region cannot be unplugged. Most accesses go to it, and so need no further check.
    public convenience init(_ regions: RegionTable, blocks: [MemoryBlock]) throws(MemoryBlockError) {
        let start = regions.regions[0].base
        let block = blocks.first { $0.region.base == start }
        do throws(SystemError) {
            let mapping = try Mapping(anonymousByteCount: Int(regions.byteCount))
            var host = unsafe mapping.base
            if case .adopted(let memory)? = block?.backing, let address = unsafe memory.address { unsafe host = address }
            let first = unsafe FirstBlock(base: start.rawValue, byteCount: block?.region.byteCount ?? 0, host: host)
            try mapping.forbid(0..<mapping.byteCount)
            try self.init(regions, mapping, nil, nil, first)
        } catch {
            throw .system(error)
        }
        absent.insert(PageRun(first: PageIndex(0), count: pageCount))
        hasAbsentPages.store(true, ordering: .sequentiallyConsistent)
        for block in blocks { try plug(block) }
        // Memory without holes needs no checks for absent pages.
        if absent.count() == 0 { hasAbsentPages.store(false, ordering: .sequentiallyConsistent) }
    }

    /// Makes a part of the reserved space present.
    ///
    /// An armed tracker sees the writes to it. The content of adopted memory counts as written. The caller adds the KVM memory slots.
    public func plug(_ block: MemoryBlock) throws(MemoryBlockError) {
        let pages = try pages(of: block.region)
        try pieces.update { pieces throws(MemoryBlockError) in
            guard pieces.parts(within: pages).isEmpty else { throw .present(block.region) }
            guard pieces.all.count < MemoryPieces.maximumCount else { throw .tooManyPieces(MemoryPieces.maximumCount) }
            let piece = try makePiece(block, pages, &pieces)
            do throws(SystemError) {
                try map(piece)
                try layout.withLock { layout throws(SystemError) in
                    if let fault = layout.fault { try register(piece, with: fault) }
                }
                // The content of adopted memory must travel, although no tracker saw it being written. A tracker that reads the page table
                // takes new pages for written. The log of the write door must be told.
                if isLoggingWrites, case .adopted = block.backing { try PageScan().forEachPresentRun(of: piece) { markWritten($0) } }
            } catch {
                unmap(piece)
                throw .system(error)
            }
            pieces.insert(piece)
            if case .adopted(let memory) = block.backing, !piece.isInPlace {
                unsafe foreign.insert(pages, at: piece.host, owner: memory.owner)
            }
            absent.remove(pages)
        }
    }

    /// Gives a part of the guest's memory back to the host and makes it absent. Subscribers are told, as for a discard.
    ///
    /// The caller first removes the guest's access (the KVM memory slots). A device or the kernel may still finish an access that has
    /// begun: what it reads has no meaning, and what it writes is lost.
    public func unplug(_ region: MemoryRegion) throws(MemoryBlockError) {
        let pages = try pages(of: region)
        if region.base.rawValue < first.base + first.byteCount { throw .first(region) }
        guard pieces.read({ $0.isWhollyPresent(pages) }) else { throw .absent(region) }
        for subscriber in subscribers.current { subscriber.willDiscard(pages) }
        do throws(MemoryBlockError) { try unplug(region, pages) } catch {
            for subscriber in subscribers.current { subscriber.failedToDiscard(pages) }
            throw error
        }
        for subscriber in subscribers.current { subscriber.didDiscard(pages) }
    }

    private func unplug(_ region: MemoryRegion, _ pages: PageRun) throws(MemoryBlockError) {
        try pieces.update { pieces throws(MemoryBlockError) in
            let parts = pieces.parts(within: pages)
            // Another thread may have unplugged the region since the first check.
            guard pieces.isWhollyPresent(pages) else { throw .absent(region) }
            for part in parts { try checkUnits(of: part, region) }
            // One piece may become two.
            guard pieces.all.count < MemoryPieces.maximumCount else { throw .tooManyPieces(MemoryPieces.maximumCount) }
            hasAbsentPages.store(true, ordering: .sequentiallyConsistent)
            absent.insert(pages)
            do throws(SystemError) { for part in parts { _ = try discard(part) } } catch {
                absent.remove(pages)
                throw .system(error)
            }
            // Accesses that have already begun go to fresh memory that belongs to nobody.
            for part in parts { unmap(part) }
            pieces.remove(pages)
        }
    }

    /// The present memory, ascending. No range crosses a region. Blocks that were plugged side by side may share a range.
    public func hostRanges() -> [HostRange] {
        pieces.read { pieces in
            pieces.all.map { piece in
                let region = MemoryRegion(base: regions.address(of: piece.pages.first), byteCount: UInt64(piece.pages.byteCount))
                return unsafe HostRange(region: region, address: piece.host, file: piece.file.map { ($0.number, piece.fileOffset) })
            }
        }
    }

    // MARK: Making pieces

    private func pages(of region: MemoryRegion) throws(MemoryBlockError) -> PageRun {
        guard region.byteCount > 0, (region.byteCount | region.base.rawValue) % UInt64(GuestPage.size) == 0 else {
            throw .unaligned(region, unitBytes: GuestPage.size)
        }
        guard region.byteCount <= RegionTable.maximumBytes, let offset = regions.offset(of: region.base, byteCount: Int(region.byteCount))
        else { throw .outside(region) }
        return PageRun(first: PageIndex(offset >> GuestPage.shift), count: region.pageCount)
    }

    func privatePiece(_ pages: PageRun) -> MemoryPiece { inPlace(pages, .privateMemory) }

    private func inPlace(_ pages: PageRun, _ kind: MemoryPiece.Kind, _ file: MemoryFile? = nil, _ offset: UInt64 = 0) -> MemoryPiece {
        let host = unsafe mapping.base + pages.first.rawValue << GuestPage.shift
        return unsafe MemoryPiece(pages: pages, kind: kind, file: file, fileOffset: offset, host: host, isInPlace: true)
    }

    /// Decides what is behind a block. Maps nothing yet.
    private func makePiece(
        _ block: MemoryBlock,
        _ pages: PageRun,
        _ pieces: inout MemoryPieces
    ) throws(MemoryBlockError) -> MemoryPiece {
        let piece: MemoryPiece
        switch block.backing {
        case .anonymous: piece = privatePiece(pages)
        case .sharedAnonymous: piece = inPlace(pages, .sharedAnonymous)
        case .memfd, .hugePages:
            let isHuge = if case .hugePages = block.backing { true } else { false }
            let index = regions.regions.firstIndex { block.region.base.rawValue < $0.end }!
            let region = regions.regions[index]
            let offset = block.region.base.rawValue - region.base.rawValue
            do throws(SystemError) {
                let file = try pieces.file(ofRegion: index, byteCount: region.byteCount, hugePages: isHuge)
                piece = inPlace(pages, isHuge ? .hugeFile : .file, file, offset)
            } catch {
                throw .system(error)
            }
        case .adopted(let memory): piece = try adopt(memory, pages)
        }
        try checkUnits(of: piece, block.region)
        return piece
    }

    private func adopt(_ memory: AdoptedMemory, _ pages: PageRun) throws(MemoryBlockError) -> MemoryPiece {
        let isInPlace = unsafe memory.address == nil
        let host = unsafe memory.address ?? mapping.base + pages.first.rawValue << GuestPage.shift
        func piece(_ kind: MemoryPiece.Kind, _ file: MemoryFile? = nil, _ offset: UInt64 = 0) -> MemoryPiece {
            unsafe MemoryPiece(pages: pages, kind: kind, file: file, fileOffset: offset, host: host, isInPlace: isInPlace)
        }
        switch memory.kind {
        case .privateAnonymous: return piece(.privateMemory)
        case .sharedAnonymous: return piece(.sharedAnonymous)
        case .file(let file, let offset):
            let bytes: UInt64
            do throws(SystemError) { bytes = try file.byteCount() } catch { throw .system(error) }
            let (needed, overflows) = offset.addingReportingOverflow(UInt64(pages.byteCount))
            guard !overflows, needed <= bytes else { throw .shortFile(bytes: bytes, needed: overflows ? .max : needed) }
            return piece(file.hasHugePages ? .hugeFile : .file, file, offset)
        }
    }

    /// Checks that a piece starts and ends on a boundary of its page size, in the file, in this process and in length.
    private func checkUnits(of piece: MemoryPiece, _ region: MemoryRegion) throws(MemoryBlockError) {
        let unit = piece.file?.unitBytes ?? GuestPage.size
        let starts = unsafe Int(bitPattern: piece.host) | Int(truncatingIfNeeded: piece.fileOffset)
        guard (starts | piece.pages.byteCount) % unit == 0 else { throw .unaligned(region, unitBytes: unit) }
    }

    // MARK: Mapping

    private func map(_ piece: MemoryPiece) throws(SystemError) {
        let start = piece.pages.first.rawValue << GuestPage.shift
        let part = start..<start + piece.pages.byteCount
        guard piece.isInPlace else {
            try checkIsMapped(piece)
            // Accesses that have already begun when the block is unplugged go here.
            return try mapping.mapAnonymous(over: part)
        }
        switch piece.kind {
        case .privateMemory: try mapping.mapAnonymous(over: part)
        case .sharedAnonymous: try mapping.mapSharedAnonymous(over: part)
        case .file, .hugeFile: try mapping.mapShared(piece.file!, at: piece.fileOffset, over: part)
        }
    }

    /// Replaces a piece by memory that belongs to nobody.
    private func unmap(_ piece: MemoryPiece) {
        guard piece.isInPlace else { return foreign.remove(piece.pages) }
        let start = piece.pages.first.rawValue << GuestPage.shift
        do throws(SystemError) { try mapping.mapAnonymous(over: start..<start + piece.pages.byteCount) } catch {
            // The kernel has no room for another mapping. The old one stays, and is empty.
            return
        }
    }

    /// Fails unless adopted memory is mapped. The call makes the kernel check the mappings and has no other effect.
    private func checkIsMapped(_ piece: MemoryPiece) throws(SystemError) {
        try retryingInterrupts("adopt memory at its address", place: "\(piece.pages.byteCount) bytes") {
            unsafe msync(piece.host, piece.pages.byteCount, MS_ASYNC)
        }
    }

    /// Makes a userfaultfd track the writes to a piece.
    func register(_ piece: MemoryPiece, with fault: Int32) throws(SystemError) {
        try retryingInterrupts("register guest memory with userfaultfd", place: "\(piece.pages)") {
            unsafe aerostat_uffd_register_wp(fault, UInt64(UInt(bitPattern: piece.host)), UInt64(piece.pages.byteCount))
        }
    }
}
