import AerostatHost

/// A run of present pages with one backing.
@safe
struct MemoryPiece: @unchecked Sendable {
    // @unchecked: the address never changes. Whoever uses the memory guards what lies there.

    enum Kind: Hashable {
        /// Private and anonymous, or private over an image.
        case privateMemory
        /// Shared, without a file that could tell which pages hold data.
        case sharedAnonymous
        /// A shared mapping of a file with pages of 4096 bytes.
        case file
        case hugeFile
    }

    let pages: PageRun
    let kind: Kind
    /// Set for `file` and `hugeFile`. `fileOffset` is the place in the file where the first page lies.
    let file: MemoryFile?
    let fileOffset: UInt64
    /// Where the first page lies in this process.
    let host: UnsafeMutableRawPointer
    /// Whether `host` is inside the reservation.
    let isInPlace: Bool

    /// The number of pages that are allocated and given back together.
    var unitPages: Int { (file?.unitBytes ?? GuestPage.size) >> GuestPage.shift }

    /// A part of this piece.
    func part(_ run: PageRun) -> MemoryPiece {
        precondition(run.first >= pages.first && run.end <= pages.end, "a part outside its piece")
        let bytes = (run.first.rawValue - pages.first.rawValue) << GuestPage.shift
        return unsafe MemoryPiece(
            pages: run,
            kind: kind,
            file: file,
            fileOffset: fileOffset + UInt64(bytes),
            host: host + bytes,
            isInPlace: isInPlace
        )
    }

    /// The part that lies in a run; `nil` if there is none.
    func part(within run: PageRun) -> MemoryPiece? {
        let first = max(run.first, pages.first)
        let end = min(run.end, pages.end)
        return first < end ? part(PageRun(first: first, count: end.rawValue - first.rawValue)) : nil
    }

    /// The part of the file that backs the pages.
    var filePart: Range<UInt64> { fileOffset..<fileOffset + UInt64(pages.byteCount) }

    /// Joins this piece with the next one, if that continues it in memory, in the file and in kind; otherwise `nil`.
    func joined(with next: MemoryPiece) -> MemoryPiece? {
        guard next.pages.first == pages.end, next.kind == kind, next.file === file, next.isInPlace == isInPlace,
            file == nil || next.fileOffset == filePart.upperBound, unsafe next.host == host + pages.byteCount
        else { return nil }
        return unsafe MemoryPiece(
            pages: PageRun(first: pages.first, count: pages.count + next.pages.count),
            kind: kind,
            file: file,
            fileOffset: fileOffset,
            host: host,
            isInPlace: isInPlace
        )
    }
}

/// The pieces that are present, ascending. Memory between them is absent.
struct MemoryPieces: Sendable {
    private(set) var all: [MemoryPiece] = []
    /// The memory files of each region: one of base pages and one of huge pages, which all blocks of the region share.
    private var files: [FileKey: MemoryFile] = [:]

    private struct FileKey: Hashable {
        let region: Int
        let hugePages: Bool
    }

    /// The most pieces. The kernel allows a process 65530 mappings, and images and huge pages may need most of them.
    static let maximumCount = 4096

    /// The index of the first piece that ends after a page.
    private func index(behind page: PageIndex) -> Int {
        var (low, high) = (0, all.count)
        while low < high {
            let middle = (low + high) / 2
            if all[middle].pages.end <= page { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The parts of the pieces that lie in a run, ascending.
    func parts(within run: PageRun) -> [MemoryPiece] {
        all[index(behind: run.first)...].prefix { $0.pages.first < run.end }.compactMap { $0.part(within: run) }
    }

    /// The piece that holds all of a run; `nil` where none does.
    func piece(containing run: PageRun) -> MemoryPiece? {
        let index = index(behind: run.first)
        guard index < all.count, all[index].pages.first <= run.first, run.end <= all[index].pages.end else { return nil }
        return all[index]
    }

    func isWhollyPresent(_ run: PageRun) -> Bool { parts(within: run).reduce(0) { $0 + $1.pages.count } == run.count }

    /// Adds a piece where nothing is present, and joins it with its neighbours if possible.
    mutating func insert(_ piece: MemoryPiece) {
        let place = index(behind: piece.pages.first)
        precondition(place == all.count || all[place].pages.first >= piece.pages.end, "two pieces in one place")
        var joined = piece
        var replaced = place..<place
        if place > 0, let both = all[place - 1].joined(with: joined) { (joined, replaced) = (both, place - 1..<place) }
        if place < all.count, let both = joined.joined(with: all[place]) { (joined, replaced) = (both, replaced.lowerBound..<place + 1) }
        all.replaceSubrange(replaced, with: [joined])
    }

    /// Removes a run from the pieces that hold it.
    /// - Returns: the parts that were removed.
    @discardableResult
    mutating func remove(_ run: PageRun) -> [MemoryPiece] {
        let removed = parts(within: run)
        guard !removed.isEmpty else { return [] }
        let first = index(behind: run.first)
        let touched = all[first...].prefix { $0.pages.first < run.end }
        var rest: [MemoryPiece] = []
        for piece in touched {
            if piece.pages.first < run.first {
                rest.append(piece.part(PageRun(first: piece.pages.first, count: run.first.rawValue - piece.pages.first.rawValue)))
            }
            if piece.pages.end > run.end {
                rest.append(piece.part(PageRun(first: run.end, count: piece.pages.end.rawValue - run.end.rawValue)))
            }
        }
        all.replaceSubrange(touched.indices, with: rest)
        return removed
    }

    /// The file of a region; the first call creates it.
    mutating func file(ofRegion index: Int, byteCount: UInt64, hugePages: Bool) throws(SystemError) -> MemoryFile {
        let key = FileKey(region: index, hugePages: hugePages)
        if let file = files[key] { return file }
        let unit = UInt64(hugePages ? Mapping.hugePageBytes : GuestPage.size)
        let length = (byteCount + unit - 1) / unit * unit
        let file = try MemoryFile.anonymous("aerostat-guest-memory", byteCount: length, hugePages: hugePages)
        files[key] = file
        return file
    }
}
