import AerostatHost
import Synchronization

// Where guest memory lies in this process.
extension GuestRAM {
    /// Where an access starts.
    @usableFromInline
    @safe
    struct Place {
        /// Counted across the regions, laid end to end.
        @usableFromInline let offset: Int
        @usableFromInline let host: UnsafeMutableRawPointer

        @inlinable
        init(offset: Int, host: UnsafeMutableRawPointer) {
            self.offset = offset
            unsafe self.host = host
        }

        /// The pages that an access of `byteCount` bytes touches; at least one.
        @inlinable
        func pages(_ byteCount: Int) -> PageRun {
            let first = offset >> GuestPage.shift
            return PageRun(first: PageIndex(first), count: (offset + byteCount - 1) >> GuestPage.shift - first + 1)
        }
    }

    // Inlined because rings are read and written field by field: unspecialised generics take a third of the time of a hint round
    // (measured).
    @inlinable
    func place(_ address: GuestAddress, _ byteCount: Int) throws(AccessError) -> Place {
        let inside = address.rawValue &- first.base
        if inside < first.byteCount, byteCount >= 0, UInt64(byteCount) <= first.byteCount - inside {
            return unsafe Place(offset: Int(inside), host: first.host + Int(inside))
        }
        return try searchedPlace(address, byteCount)
    }

    @usableFromInline
    func searchedPlace(_ address: GuestAddress, _ byteCount: Int) throws(AccessError) -> Place {
        guard let offset = presentOffset(address, byteCount) else { throw AccessError(address: address, byteCount: byteCount) }
        let (host, room) = unsafe stretch(at: offset)
        // The value would be split between two blocks that lie at different places in this process.
        guard byteCount <= room else { throw AccessError(address: address, byteCount: byteCount) }
        return unsafe Place(offset: offset, host: host)
    }

    /// Whether an access lies completely in one region and all of it is present.
    public func contains(_ address: GuestAddress, byteCount: Int) -> Bool { presentOffset(address, byteCount) != nil }

    private func presentOffset(_ address: GuestAddress, _ byteCount: Int) -> Int? {
        guard let offset = regions.offset(of: address, byteCount: byteCount) else { return nil }
        guard hasAbsentPages.load(ordering: .relaxed) else { return offset }
        let first = offset >> GuestPage.shift
        let last = (offset + max(byteCount, 1) - 1) >> GuestPage.shift
        return isPresent(PageRun(first: PageIndex(first), count: last - first + 1)) ? offset : nil
    }

    /// Whether all pages of a run are in blocks that are plugged now.
    package func isPresent(_ run: PageRun) -> Bool {
        !hasAbsentPages.load(ordering: .relaxed) || absent.runs(within: run).isEmpty
    }

    /// How many pages are in blocks that are plugged now.
    ///
    /// By the pieces, which are few: the set of absent pages is as long as the space that is reserved.
    package var presentPageCount: Int { pieces.read { $0.all.reduce(0) { $0 + $1.pages.count } } }

    /// The address of a byte, and how many contiguous bytes start there.
    private func stretch(at offset: Int) -> (host: UnsafeMutableRawPointer, byteCount: Int) {
        if foreign.isEmpty { return unsafe (mapping.base + offset, .max) }
        let page = PageIndex(offset >> GuestPage.shift)
        let inside = offset & (GuestPage.size - 1)
        if let (host, byteCount) = unsafe foreign.place(of: page) { return unsafe (host + inside, byteCount - inside) }
        let end = foreign.firstPage(from: page, before: PageIndex(pageCount))
        return unsafe (mapping.base + offset, end.rawValue << GuestPage.shift - offset)
    }

    /// Calls `body` for each stretch of host memory that an access covers: its address, how many bytes came before it, and how many it has.
    /// - Parameter isWrite: marks each stretch as written after `body` has returned.
    @unsafe
    func forEachPlace(
        _ address: GuestAddress,
        _ byteCount: Int,
        isWrite: Bool = true,
        _ body: (UnsafeMutableRawPointer, _ done: Int, _ byteCount: Int) -> Void
    ) throws(AccessError) {
        guard byteCount > 0 else { return }
        let inside = address.rawValue &- first.base
        if inside < first.byteCount, UInt64(byteCount) <= first.byteCount - inside {
            let place = unsafe Place(offset: Int(inside), host: first.host + Int(inside))
            unsafe body(place.host, 0, byteCount)
            if isWrite { markWritten(place.pages(byteCount)) }
            return
        }
        guard let offset = presentOffset(address, byteCount) else { throw AccessError(address: address, byteCount: byteCount) }
        var done = 0
        while done < byteCount {
            let (host, room) = unsafe stretch(at: offset + done)
            let count = min(room, byteCount - done)
            unsafe body(host, done, count)
            if isWrite { markWritten(unsafe Place(offset: offset + done, host: host).pages(count)) }
            done += count
        }
    }

    // MARK: Whole pages

    /// Where a run lies in host memory. The run must not cross into a block that lies elsewhere: `hostRanges()` tells where blocks begin.
    ///
    /// For scatter/gather lists (which the kernel reads or writes), mappings into a guest and bounded copies. A caller that writes through
    /// the address calls `markWritten(_:)` afterwards. Memory that was unplugged may still be touched, but reads have no meaning there and
    /// writes are lost. Memory that was never plugged must not be touched.
    @unsafe
    public func hostAddress(of run: PageRun) -> UnsafeMutableRawPointer {
        precondition(run.end.rawValue <= pageCount, "run outside guest memory")
        if foreign.isEmpty { return unsafe mapping.base + run.first.rawValue << GuestPage.shift }
        let (host, byteCount) = unsafe stretch(at: run.first.rawValue << GuestPage.shift)
        precondition(byteCount >= run.byteCount, "a run across blocks that lie in different places")
        return unsafe host
    }

    /// The run, cut where blocks lie at different places in this process.
    package func contiguousParts(of run: PageRun) -> [PageRun] {
        if foreign.isEmpty { return [run] }
        var parts: [PageRun] = []
        var position = run.first
        while position < run.end {
            let pages = unsafe stretch(at: position.rawValue << GuestPage.shift).byteCount >> GuestPage.shift
            let part = PageRun(first: position, count: min(pages, run.end.rawValue - position.rawValue))
            parts.append(part)
            position = part.end
        }
        return parts
    }

    /// Writes whole pages in place: `body` gets their host memory, and the pages are marked when it returns.
    @unsafe
    public func withWritablePages<Result>(_ run: PageRun, _ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        defer { markWritten(run) }
        return unsafe body(UnsafeMutableRawBufferPointer(start: hostAddress(of: run), count: run.byteCount))
    }
}
