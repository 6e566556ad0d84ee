import Host

/// Where a guest's memory is mapped from its image: stretches of whole blocks around the pages that have data there.
///
/// The kernel allows 65530 mappings for a process and needs them for much else, so a guest takes a bounded share: where data is
/// scattered the blocks grow, and a stretch covers holes of the file besides.
enum FileStretches {
    /// The smallest block: what one page of page tables covers.
    static let smallestBlockPages = Mapping.hugePageBytes / GuestPage.size
    static let maximumCount = 8192

    /// Ascending, disjoint stretches that cover all pages of the set.
    static func covering(_ pages: DirtyBitmap) -> [PageRun] {
        var blockPages = smallestBlockPages
        while true {
            if let stretches = covering(pages, blockPages: blockPages) { return stretches }
            blockPages *= 2
        }
    }

    /// The stretches with blocks of one size; `nil` where they would be too many.
    private static func covering(_ pages: DirtyBitmap, blockPages: Int) -> [PageRun]? {
        var stretches: [PageRun] = []
        var position = PageIndex(0)
        while let run = pages.nextRun(from: position).run {
            let first = run.first.rawValue / blockPages * blockPages
            let end = min((run.end.rawValue + blockPages - 1) / blockPages * blockPages, pages.pageCount)
            if let last = stretches.last, last.end.rawValue == first {
                stretches[stretches.count - 1] = PageRun(first: last.first, count: end - last.first.rawValue)
            } else {
                guard stretches.count < maximumCount else { return nil }
                stretches.append(PageRun(first: PageIndex(first), count: end - first))
            }
            // What is left of the last block is covered.
            position = PageIndex(end)
        }
        return stretches
    }
}
