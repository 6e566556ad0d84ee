public import AerostatGuestMemory
public import AerostatHost
public import AerostatMigration

// Making guest RAM from an image.
extension GuestImage {
    /// Guest RAM whose pages are read from the file when they are touched. They are not compared with their checksums.
    public func lazyMemory() throws(ImageError) -> GuestRAM {
        try ImageError.reading { () throws(SystemError) in
            // The guest changes its set of pages, so it gets a copy. The image's own page map stays as it is.
            let pages = try storedPages()
            return try file.withDescriptor { (descriptor) throws(SystemError) in
                let offset = UInt64(ImageLayout.memoryOffset)
                return try GuestRAM(header.regions, backedBy: descriptor, path: path, at: offset, pages: pages)
            }
        }
    }

    /// The pages with data. If mapping a hole would make the file grow, only the pages that the file has really stored: a copy of the file
    /// may have left out a page of zeros.
    private func storedPages() throws(SystemError) -> PageSet {
        let pages = try PageSet(pageCount: tables.data.pageCount)
        guard try !file.withDescriptor({ (descriptor) throws(SystemError) in descriptor.keepsHolesInMappings }) else {
            tables.data.forEachRun { _ = pages.insert($0) }
            return pages
        }
        let layout = header.layout
        let end = layout.tablesOffset
        var position = ImageLayout.memoryOffset
        while position < end, let extent = try file.dataExtent(from: UInt64(position)), extent.lowerBound < UInt64(end) {
            let first = (Int(extent.lowerBound) - ImageLayout.memoryOffset) >> GuestPage.shift
            let last = (min(Int(extent.upperBound), end) - ImageLayout.memoryOffset + GuestPage.size - 1) >> GuestPage.shift
            for run in tables.data.runs(within: PageRun(first: PageIndex(first), count: last - first)) { pages.insert(run) }
            position = Int(extent.upperBound)
        }
        return pages
    }

    /// Guest RAM of the image's shape, into which nothing has been read yet.
    package func emptyMemory() throws(ImageError) -> GuestRAM {
        try ImageError.reading { () throws(SystemError) in try GuestRAM(header.regions) }
    }

    /// Guest RAM into which all pages were read and compared with their checksums.
    /// - Parameter doorbell: ends the read early (`interrupted`).
    public func preloadedMemory(doorbell: Doorbell? = nil) throws(ImageError) -> GuestRAM {
        let memory = try emptyMemory()
        try preload(into: memory, doorbell: doorbell)
        return memory
    }

    /// Reads all pages into fresh guest RAM and compares each with its checksum. If this fails, the memory is of no use.
    /// - Parameters:
    ///   - memory: has the image's regions, and was never touched.
    ///   - doorbell: ends the read early (`interrupted`).
    package func preload(into memory: GuestRAM, doorbell: Doorbell? = nil) throws(ImageError) {
        precondition(memory.regions == header.regions, "memory of another shape")
        try loadChecksums()
        var pages = DataPages(tables.data)
        let reads = try FileReads(self, into: memory, doorbell: doorbell)
        unsafe try reads.run { () throws(ImageError) in
            try ImageError.reading { () throws(SystemError) in try pages.next(of: memory) }
        } arrived: { (run, _) throws(ImageError) in
            memory.markWritten(run)
            for page in run.indices {
                if let fault = fault(of: PageIndex(page), memory.checksum(PageIndex(page))) { throw fault }
            }
        }
    }
}

/// The pages with data, in pieces to be read. Guest memory is prepared ahead of the reads.
private struct DataPages {
    private let data: PageSet
    private var hugePages = ArrivalPreparation()
    /// Pieces that were prepared but not handed out yet.
    private var pieces: ArraySlice<PageRun> = []
    private var position = PageIndex(0)

    /// The number of pages prepared at a time, in aligned stretches so that huge pages fit.
    private static let stretchPages = (16 << 20) / GuestPage.size

    init(_ data: PageSet) { self.data = data }

    mutating func next(of memory: GuestRAM) throws(SystemError) -> PageRun? {
        if pieces.isEmpty, let stretch = nextStretch() {
            try hugePages.prepare(stretch, of: memory)
            pieces = stretch.slices(ofAtMost: FileReads.piecePages)[...]
        }
        return pieces.popFirst()
    }

    private mutating func nextStretch() -> PageRun? {
        let (run, next) = data.nextRun(from: position, maximumPages: Self.stretchPages)
        guard let run else {
            position = next
            return nil
        }
        let stretch = PageRun(first: run.first, count: min(run.count, Self.stretchPages - run.first.rawValue % Self.stretchPages))
        position = stretch.end
        return stretch
    }
}
