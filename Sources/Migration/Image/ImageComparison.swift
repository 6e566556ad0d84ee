package import AerostatGuestMemory
package import AerostatHost

/// Compares the source's digests with an image's content while the guest is paused: the image's part of `--verify`.
package struct ImageComparison {
    private let tables: ImageTables
    private let compared: PageSet
    private(set) package var ready = Ready()

    package init(_ tables: ImageTables) throws(SystemError) {
        self.tables = tables
        compared = try PageSet(pageCount: tables.layout.pageCount)
    }

    /// - Parameter found: the digest of the bytes in the file; `nil` if the file holds none, so that the page reads as zero.
    package mutating func compare(_ page: PageIndex, expected: UInt64, found: UInt64?) {
        compared.insert(page)
        // If the source says that a page is in use, but it is free in the image, that itself is a difference.
        guard !tables.free.contains(page) else { return note(differing: page) }
        ready.pagesCompared += 1
        if found ?? PageDigest.zeroPage != expected { note(differing: page) }
    }

    /// Finds data of pages that do not exist at the source, which sent no digest for them.
    package mutating func finish() {
        ready.pagesFree = tables.free.count()
        tables.data.forEachUsedWord { word in
            var bits = tables.data.load(word: word) & ~compared.load(word: word)
            while bits != 0 {
                note(differing: PageIndex(word << 6 + bits.trailingZeroBitCount))
                bits &= bits - 1
            }
        }
    }

    private mutating func note(differing page: PageIndex) {
        ready.differences += 1
        ready.firstDifference = min(ready.firstDifference ?? .max, page.rawValue)
    }
}
