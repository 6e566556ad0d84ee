public import AerostatHost
import Glibc
import SystemPackage

// Finds out which pages exist. This asks the kernel and reads no page, because reading may allocate it.
extension GuestRAM {
    /// Adds the pages that exist: pages that are populated or swapped out, except the kernel's shared zero page; pages whose data is in the
    /// image, touched or not; and pages that are in a memory file. All others read as zero.
    ///
    /// If the kernel lacks `PAGEMAP_SCAN`, the classic pagemap is read (8 bytes for each page of the guest).
    public func insertPresentPages(into present: PageSet) throws(SystemError) {
        try insertPresentPages(in: PageRun(first: PageIndex(0), count: pageCount), into: present)
    }

    /// Adds the pages of one run that exist.
    package func insertPresentPages(in run: PageRun, into present: PageSet) throws(SystemError) {
        let scan = try PageScan()
        try pieces.read { pieces throws(SystemError) in
            for piece in pieces.parts(within: run) {
                if piece.isInPlace, piece.kind == .privateMemory, let image { insertImagePages(of: piece.pages, image, into: present) }
                try scan.forEachPresentRun(of: piece) { present.insert($0) }
            }
        }
    }

    private func insertImagePages(of run: PageRun, _ image: ImageBacking, into present: PageSet) {
        if run.count == pageCount { return insertImagePages(image, into: present) }
        for run in image.data.runs(within: run) { present.insert(run) }
    }

    /// Adds the pages that exist according to the classic pagemap. Does not add the data in the image.
    package func insertPresentPagesFromPagemap(into present: PageSet) throws(SystemError) {
        let scan = try PageScan()
        try pieces.read { pieces throws(SystemError) in
            for piece in pieces.all { try scan.forEachPresentRun(of: piece, isClassic: true) { present.insert($0) } }
        }
    }
}

extension PageScan {
    /// Calls `found` with each run of pages, of this process or of a file, that may hold something other than zeros. Leaves out the pages
    /// of an image.
    /// - Parameter isClassic: does not use `PAGEMAP_SCAN`, as on kernels before 6.7.
    func forEachPresentRun(of piece: MemoryPiece, isClassic: Bool = false, found: (PageRun) -> Void) throws(SystemError) {
        switch piece.kind {
        case .file, .sharedAnonymous: return try piece.forEachExtent { found($0) }
        // It may hold pages that this process has never touched, and the kernel does not tell which.
        case .hugeFile where piece.file!.isAdopted: return found(piece.pages)
        case .privateMemory, .hugeFile: break
        }
        guard !isClassic else { return try classicWalk(piece, found: found) }
        do throws(SystemError) {
            try scan(piece, .present, found: found)
        } catch {
            guard error.code == .inappropriateIOCTLForDevice || error.code == .invalidArgument else { throw error }
            try classicWalk(piece, found: found)
        }
    }

    /// Bits 63 (present), 62 (swapped) and 61 (a file's page) of the 64-bit entries of `/proc/self/pagemap`
    /// (Documentation/admin-guide/mm/pagemap.rst). The shared zero page counts as present here.
    private func classicWalk(_ piece: MemoryPiece, found: (PageRun) -> Void) throws(SystemError) {
        let existing: UInt64 = 0b11 << 62
        let filed: UInt64 = piece.kind == .privateMemory ? 1 << 61 : 0
        var entries = [UInt64](repeating: 0, count: 64 << 10)
        let firstEntry = unsafe Int(bitPattern: piece.host) >> GuestPage.shift
        var page = 0
        while page < piece.pages.count {
            let wanted = min(entries.count, piece.pages.count - page)
            let bytes = try readEntries(&entries, count: wanted, from: firstEntry + page)
            // In runs, because an atomic operation for each page would cost more than everything else.
            var first: Int?
            for index in 0..<bytes / 8 {
                if entries[index] & existing != 0, entries[index] & filed == 0 {
                    first = first ?? index
                } else if let start = first {
                    found(PageRun(first: piece.pages.first + page + start, count: index - start))
                    first = nil
                }
            }
            if let first { found(PageRun(first: piece.pages.first + page + first, count: bytes / 8 - first)) }
            page += bytes / 8
        }
    }
}

extension MemoryPiece {
    /// The number of pages that one call of `mincore` reports.
    private static let pagesPerQuestion = 64 << 10

    /// Calls `body` with each run of shared pages that may hold something, ascending.
    func forEachExtent(_ body: (PageRun) throws(SystemError) -> Void) throws(SystemError) {
        guard let file else { return try forEachResidentRun(body) }
        try file.forEachExtent(in: filePart) { extent throws(SystemError) in
            let first = Int((extent.lowerBound - fileOffset) >> UInt64(GuestPage.shift))
            let end = Int((extent.upperBound - fileOffset + UInt64(GuestPage.size - 1)) >> UInt64(GuestPage.shift))
            try body(PageRun(first: pages.first + first, count: min(end, pages.count) - first))
        }
    }

    /// Without a file, the kernel tells which pages are in memory, mapped or not, but not which were swapped out.
    private func forEachResidentRun(_ body: (PageRun) throws(SystemError) -> Void) throws(SystemError) {
        if hostHasSwap() { return try body(pages) }
        var states = [UInt8](repeating: 0, count: min(pages.count, Self.pagesPerQuestion))
        for slice in pages.slices(ofAtMost: Self.pagesPerQuestion) {
            let part = part(slice)
            try retryingInterrupts("ask which pages are in memory", place: "\(slice)") {
                unsafe mincore(part.host, slice.byteCount, &states)
            }
            var index = 0
            while index < slice.count {
                guard states[index] & 1 != 0 else {
                    index += 1
                    continue
                }
                let start = index
                while index < slice.count, states[index] & 1 != 0 { index += 1 }
                try body(PageRun(first: slice.first + start, count: index - start))
            }
        }
    }
}
