import AerostatHost

/// Where a guest's memory is mapped from its image.
///
/// The kernel allows 65530 mappings for a process and needs them for much else, so a guest takes a bounded share. Where data is scattered:
///
/// - On a file system where that is harmless, a stretch covers holes besides, in blocks that grow until there are few enough.
/// - Elsewhere no hole is mapped: reading one would make the image grow. The longest runs of data are mapped, and whoever maps them reads
///   the others.
struct FileStretches {
    /// Ascending and disjoint. A run of data is covered wholly or not at all.
    private(set) var mapped: [PageRun] = []
    /// Behind the last page that is mapped or has data.
    private(set) var end = PageIndex(0)

    /// The smallest block: what one page of page tables covers.
    static let smallestBlockPages = Mapping.hugePageBytes / GuestPage.size
    static let maximumCount = 8192

    /// - Parameters:
    ///   - pages: those with data.
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

    /// Blocks of one size.
    /// - Returns: false where the stretches would be too many.
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
            // What is left of the last block is covered.
            position = PageIndex(end)
        }
        return true
    }

    // MARK: Without holes

    /// Runs from this length on are all alike.
    private static let longestPages = 4096

    private mutating func takeLongest(_ pages: PageSet) {
        // How many runs there are of each length: there may be millions, of which a list would take more than the guest's tables.
        var counts = [Int](repeating: 0, count: Self.longestPages + 1)
        pages.forEachRun { counts[min($0.count, Self.longestPages)] += 1 }
        var shortest = Self.longestPages
        var room = Self.maximumCount
        while shortest > 0, counts[shortest] <= room {
            room -= counts[shortest]
            shortest -= 1
        }
        // Of the runs of `shortest` pages as many as there is room for.
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
