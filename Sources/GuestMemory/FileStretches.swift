import AerostatHost

/// Which parts of a guest's memory are mapped from its image.
///
/// The kernel allows a process 65530 mappings and needs many of them for other things, so a guest gets a bounded share. If the data is
/// scattered:
///
/// - On a file system where mapping holes is harmless, a stretch covers holes too. Its blocks grow until there are few enough stretches.
/// - Elsewhere no hole is mapped, because reading a hole would make the image grow. The longest runs of data are mapped, and the caller
///   reads the rest.
struct FileStretches {
    /// Ascending and disjoint. A run of data is covered completely or not at all.
    private(set) var mapped: [PageRun] = []
    /// The page after the last one that is mapped or has data.
    private(set) var end = PageIndex(0)

    /// The smallest block: the memory that one page of page tables covers.
    static let smallestBlockPages = Mapping.hugePageBytes / GuestPage.size
    static let maximumCount = 8192

    /// - Parameters:
    ///   - pages: the pages with data.
    ///   - coversHoles: whether holes may be mapped.
    init(_ pages: PageSet, coversHoles: Bool) {
        if coversHoles {
            var blockPages = Self.smallestBlockPages
            while !cover(pages, blockPages: blockPages) { blockPages *= 2 }
            end = mapped.last?.end ?? end
        } else {
            takeLongest(pages)
        }
    }

    // MARK: With holes

    /// Covers the data with blocks of one size.
    /// - Returns: false if there would be too many stretches.
    private mutating func cover(_ pages: PageSet, blockPages: Int) -> Bool {
        mapped = []
        var position = PageIndex(0)
        while let run = pages.nextRun(from: position).run {
            let first = run.first.rawValue / blockPages * blockPages
            let end = min((run.end.rawValue + blockPages - 1) / blockPages * blockPages, pages.pageCount)
            if let last = mapped.last, last.end.rawValue == first {
                mapped[mapped.count - 1] = PageRun(first: last.first, count: end - last.first.rawValue)
            } else {
                guard mapped.count < Self.maximumCount else { return false }
                mapped.append(PageRun(first: PageIndex(first), count: end - first))
            }
            // The rest of the last block is covered already.
            position = PageIndex(end)
        }
        return true
    }

    // MARK: Without holes

    /// All runs of at least this length are counted as one length.
    private static let longestPages = 4096

    private mutating func takeLongest(_ pages: PageSet) {
        // Count the runs of each length. There may be millions of runs, and a list of them would take more memory than the guest's tables.
        var counts = [Int](repeating: 0, count: Self.longestPages + 1)
        pages.forEachRun { counts[min($0.count, Self.longestPages)] += 1 }
        var shortest = Self.longestPages
        var room = Self.maximumCount
        while shortest > 0, counts[shortest] <= room {
            room -= counts[shortest]
            shortest -= 1
        }
        // Map as many of the runs of `shortest` pages as there is room for.
        pages.forEachRun { run in
            let length = min(run.count, Self.longestPages)
            if length > shortest {
                mapped.append(run)
            } else if length == shortest, room > 0 {
                room -= 1
                mapped.append(run)
            }
            end = run.end
        }
    }
}
