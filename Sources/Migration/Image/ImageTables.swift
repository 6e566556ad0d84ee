package import AerostatGuestMemory
package import AerostatHost

/// An image's page tables: which pages hold data, which are zero, which are free, and the checksums of the data. Pages in none of the
/// bitmaps never existed. The tables take memory, and space in the file, only where pages exist.
package final class ImageTables {
    package let layout: ImageLayout
    package let data: PageSet
    package let zero: PageSet
    package let free: PageSet
    private var checksums: SparseWords
    /// Blocks that differ from those in the file, counted from the first block of the first table.
    private let changed: PageSet
    /// Blocks that may hold anything but zeros, counted in the same way: they were changed, or loaded from a file. The other blocks of a
    /// large guest's tables are not populated, and are skipped.
    private let touched: PageSet

    package init(_ layout: ImageLayout) throws(SystemError) {
        self.layout = layout
        data = try PageSet(pageCount: layout.pageCount)
        zero = try PageSet(pageCount: layout.pageCount)
        free = try PageSet(pageCount: layout.pageCount)
        checksums = try SparseWords(count: layout.pageCount)
        let blocks = (layout.deviceStateOffset - layout.tablesOffset) / ImageLayout.blockBytes
        changed = try PageSet(pageCount: blocks)
        touched = try PageSet(pageCount: blocks)
    }

    package func checksum(of page: PageIndex) -> UInt32 { checksums[page.rawValue] }

    // MARK: Writing

    /// The pages' bytes are about to be written.
    ///
    /// If the guest writes a page while its checksum is computed, or while the disk reads it, the page comes again, because the tracker was
    /// armed before the page was taken out to be sent (rule "clear, then read"). When it comes for the last time, nothing changes it any
    /// more. So the final checksum belongs to the final bytes.
    package func noteData(_ run: PageRun, checksum: (PageIndex) -> UInt32) {
        data.insert(run)
        zero.remove(run)
        free.remove(run)
        for page in run.indices { checksums[page] = checksum(PageIndex(page)) }
        markChanged(run)
    }

    /// The pages are zero now.
    /// - Returns: the runs that hold older data in the file, which must go.
    package func noteZero(_ run: PageRun) -> [PageRun] {
        zero.insert(run)
        free.remove(run)
        return forgetData(run)
    }

    /// The pages are free now.
    /// - Returns: the runs that hold older data in the file, which must go.
    package func noteFree(_ run: PageRun) -> [PageRun] {
        free.insert(run)
        zero.remove(run)
        return forgetData(run)
    }

    private func forgetData(_ run: PageRun) -> [PageRun] {
        let stale = data.runs(within: run)
        for run in stale {
            data.remove(run)
            for page in run.indices { checksums[page] = 0 }
        }
        markChanged(run, includingChecksums: !stale.isEmpty)
        return stale
    }

    private func markChanged(_ run: PageRun, includingChecksums: Bool = true) {
        for table in ImageLayout.Table.allCases where table != .checksums || includingChecksums {
            let perBlock = table == .checksums ? ImageLayout.checksumsPerBlock : ImageLayout.bitsPerBlock
            let first = run.first.rawValue / perBlock
            let count = (run.end.rawValue - 1) / perBlock - first + 1
            let blocks = PageRun(first: PageIndex(firstBlock(of: table) + first), count: count)
            changed.insert(blocks)
            touched.insert(blocks)
        }
    }

    /// Takes the next blocks that differ from those in the file. Afterwards they count as written.
    /// - Returns: a run of at most `maximumCount` block numbers; `nil` if there is none.
    package func takeChangedBlocks(maximumCount: Int) -> Range<Int>? {
        guard let run = changed.nextRun(from: PageIndex(0), maximumPages: maximumCount).run else { return nil }
        changed.remove(run)
        return run.indices
    }

    // MARK: Blocks

    /// Block numbers count from the first block of the first table.
    package func offset(ofBlock block: Int) -> Int { layout.tablesOffset + block * ImageLayout.blockBytes }

    private func firstBlock(of table: ImageLayout.Table) -> Int {
        (layout.offset(of: table) - layout.tablesOffset) / ImageLayout.blockBytes
    }

    package func blocks(of table: ImageLayout.Table) -> Range<Int> {
        firstBlock(of: table)..<firstBlock(of: table) + layout.blockCount(of: table)
    }

    /// The table that a block belongs to, and its place there.
    private func place(ofBlock block: Int) -> (table: ImageLayout.Table, index: Int) {
        let bitmap = layout.blockCount(of: .data)
        guard block < 3 * bitmap else { return (.checksums, block - 3 * bitmap) }
        return (ImageLayout.Table(rawValue: block / bitmap)!, block % bitmap)
    }

    private func bitmap(_ table: ImageLayout.Table) -> PageSet? {
        switch table {
        case .data: data
        case .zero: zero
        case .free: free
        case .checksums: nil
        }
    }

    /// Copies a block as it is stored in the file.
    /// - Parameter target: at least 4096 bytes.
    package func copyBlock(_ block: Int, into target: UnsafeMutableRawBufferPointer) {
        let (table, index) = place(ofBlock: block)
        if let bitmap = bitmap(table) {
            unsafe bitmap.copyPage(index, into: target)
        } else {
            unsafe checksums.copyPage(index, into: target)
        }
    }

    /// Loads a block that was read from a file.
    /// - Parameter source: at least 4096 bytes.
    /// - Returns: false if the block describes pages behind the guest's last.
    package func loadBlock(_ block: Int, from source: UnsafeRawBufferPointer) -> Bool {
        let (table, index) = place(ofBlock: block)
        touched.insert(PageIndex(block))
        if let bitmap = bitmap(table) { return unsafe bitmap.insertPage(index, from: source) }
        unsafe checksums.loadPage(index, from: source)
        return true
    }

    /// The CRC-32C over those blocks of the given tables that are not all zeros: for each block its number as u64, then its bytes.
    ///
    /// Holes cost nothing, and the result does not depend on whether zeros are stored as a hole.
    package func checksum(over tables: [ImageLayout.Table]) -> UInt32 {
        var checksum = BlockChecksum()
        var block = [UInt8](repeating: 0, count: ImageLayout.blockBytes)
        for blocks in tables.map({ self.blocks(of: $0) }) {
            for number in touched.runs(within: PageRun(first: PageIndex(blocks.lowerBound), count: blocks.count)).lazy.flatMap(\.indices) {
                unsafe block.withUnsafeMutableBytes { unsafe copyBlock(number, into: $0) }
                checksum.add(number, block)
            }
        }
        return checksum.value
    }

    /// Pages in each of the bitmaps.
    package func counts() -> (data: Int, zero: Int, free: Int) {
        var counts = (data: 0, zero: 0, free: 0)
        forEachWord { _, data, zero, free in
            counts.data += data.nonzeroBitCount
            counts.zero += zero.nonzeroBitCount
            counts.free += free.nonzeroBitCount
        }
        return counts
    }

    /// Calls `body` with the words of the three bitmaps, for words that were touched in at least one.
    private func forEachWord(_ body: (_ index: Int, _ data: UInt64, _ zero: UInt64, _ free: UInt64) -> Void) {
        let blocks = layout.blockCount(of: .data)
        for block in 0..<blocks where (0..<3).contains(where: { touched.contains(PageIndex($0 * blocks + block)) }) {
            let first = block * PageSet.wordsPerPage
            for word in first..<min(first + PageSet.wordsPerPage, data.wordCount) {
                body(word, data.load(word: word), zero.load(word: word), free.load(word: word))
            }
        }
    }

    /// Returns what is wrong with loaded tables; `nil` if nothing is. A page may be in at most one bitmap.
    package func contradiction(with header: ImageHeader) -> ImageError? {
        var twice: (word: Int, page: Int)?
        forEachWord { word, data, zero, free in
            let bits = data & zero | data & free | zero & free
            if bits != 0, twice == nil { twice = (word, word << 6 + bits.trailingZeroBitCount) }
        }
        if let twice {
            let offset = layout.offset(of: .data) + twice.word * 8
            return .malformed(part: "the page map", offset: offset, reason: "page \(twice.page) has two states")
        }
        let counts = counts()
        let expected = [
            (counts.data, header.dataPages, "data"), (counts.zero, header.zeroPages, "zero"), (counts.free, header.freePages, "free"),
        ]
        for (found, expected, name) in expected where found != expected {
            let reason = "\(found) \(name) pages, where the header counts \(expected)"
            return .malformed(part: "the page map", offset: layout.tablesOffset, reason: reason)
        }
        return nil
    }
}

/// The checksum over numbered blocks; blocks of zeros are left out.
package struct BlockChecksum {
    private var checksum = CRC32C()

    package init() {}

    package mutating func add(_ number: Int, _ block: [UInt8]) {
        guard block.contains(where: { $0 != 0 }) else { return }
        var writer = FieldBytes(reserving: 8)
        writer.append(UInt64(number))
        unsafe checksum.add(writer.bytes.span.bytes)
        unsafe checksum.add(block.span.bytes)
    }

    package var value: UInt32 { checksum.value }
}
