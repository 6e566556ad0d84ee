public import AerostatHost
public import Synchronization

/// A set of pages as atomic 64-bit words: bit p % 64 of word p / 64 is page p.
///
/// The words are anonymous memory that the kernel provides when it is first touched. So an empty bitmap of a large guest costs nothing, and
/// a full one costs 1 bit a page (32 MiB for 1 TiB). Single operations are atomic. A user that needs more than that (the ledger) has a lock
/// of its own.
///
/// A search through the whole set skips chunks that were never used: one bit for each chunk of 512 words (128 MiB of guest memory) tells
/// whether one of its pages was ever inserted. So a search costs what is populated, not what the guest could hold.
// @unchecked: the pointer never changes and every access through it is atomic.
@safe
public final class PageSet: @unchecked Sendable {
    public let pageCount: Int
    private let storage: Mapping
    @usableFromInline let words: UnsafeMutablePointer<Atomic<UInt64>>
    /// The number of words that hold pages.
    public let wordCount: Int
    /// One bit for each chunk of words in which a page was ever inserted. It is never cleared, so an insert needs no lock: a thread that
    /// sees an insert also sees its chunk's bit.
    @usableFromInline let usedChunks: UnsafeMutablePointer<Atomic<UInt64>>
    private let chunkWordCount: Int

    /// The binary logarithm of the number of words in one chunk. A chunk is one page of words.
    @usableFromInline static let chunkShift = 9
    package static let wordsPerChunk = 1 << chunkShift

    /// An empty set.
    /// - Parameter pageCount: pages of the guest, more than zero.
    public init(pageCount: Int) throws(SystemError) {
        precondition(pageCount > 0, "a bitmap covers at least one page")
        self.pageCount = pageCount
        wordCount = (pageCount + 63) / 64
        let chunkCount = (wordCount + Self.wordsPerChunk - 1) / Self.wordsPerChunk
        chunkWordCount = (chunkCount + 63) / 64
        func wholePages(_ words: Int) -> Int { (words * 8 + GuestPage.size - 1) & ~(GuestPage.size - 1) }
        storage = try Mapping(anonymousByteCount: wholePages(wordCount) + wholePages(chunkWordCount))
        unsafe words = storage.base.bindMemory(to: Atomic<UInt64>.self, capacity: wordCount)
        unsafe usedChunks = (storage.base + wholePages(wordCount)).bindMemory(to: Atomic<UInt64>.self, capacity: chunkWordCount)
    }

    /// Adds a page. The release ordering makes earlier writes visible to whoever takes the bit out.
    @inlinable
    public func insert(_ page: PageIndex) {
        precondition(page.rawValue >= 0 && page.rawValue < pageCount, "page outside the bitmap")
        noteUse(word: page.rawValue >> 6)
        unsafe words[page.rawValue >> 6].bitwiseOr(1 << UInt64(page.rawValue & 63), ordering: .releasing)
    }

    /// Adds the pages of a run.
    /// - Returns: how many were not in the set before.
    @inlinable @discardableResult
    public func insert(_ run: PageRun) -> Int {
        var added = 0
        forEachWord(of: run) { index, mask in
            noteUse(word: index)
            let old = unsafe words[index].bitwiseOr(mask, ordering: .releasing).oldValue
            added += (mask & ~old).nonzeroBitCount
        }
        return added
    }

    /// Removes the pages of a run.
    /// - Returns: how many were in the set.
    @inlinable @discardableResult
    public func remove(_ run: PageRun) -> Int {
        var removed = 0
        forEachWord(of: run) { index, mask in
            let old = unsafe words[index].bitwiseAnd(~mask, ordering: .acquiringAndReleasing).oldValue
            removed += (mask & old).nonzeroBitCount
        }
        return removed
    }

    /// Whether the page is in the set.
    @inlinable
    public func contains(_ page: PageIndex) -> Bool {
        precondition(page.rawValue >= 0 && page.rawValue < pageCount, "page outside the bitmap")
        return unsafe words[page.rawValue >> 6].load(ordering: .acquiring) & (1 << UInt64(page.rawValue & 63)) != 0
    }

    /// How many pages of a run are in the set.
    @inlinable
    public func count(in run: PageRun) -> Int {
        var count = 0
        forEachWord(of: run) { index, mask in
            count += unsafe (words[index].load(ordering: .acquiring) & mask).nonzeroBitCount
        }
        return count
    }

    /// How many pages are in the set. Reads the words of every chunk in use.
    public func count() -> Int {
        var count = 0
        forEachUsedWord { count += load(word: $0).nonzeroBitCount }
        return count
    }

    /// The bits of one word. Page p is bit p % 64 of word p / 64.
    @inlinable public func load(word index: Int) -> UInt64 {
        precondition(index >= 0 && index < wordCount, "word outside the bitmap")
        return unsafe words[index].load(ordering: .acquiring)
    }

    /// Empties one word and returns what it held.
    @inlinable public func take(word index: Int) -> UInt64 {
        precondition(index >= 0 && index < wordCount, "word outside the bitmap")
        // Load first: most words are empty, and an exchange would take the cache line for writing (and populate it).
        if unsafe words[index].load(ordering: .relaxed) == 0 { return 0 }
        return unsafe words[index].exchange(0, ordering: .acquiringAndReleasing)
    }

    /// Adds `bits` to a word.
    /// - Returns: what the word held before.
    @inlinable @discardableResult
    public func insert(bits: UInt64, word index: Int) -> UInt64 {
        precondition(index >= 0 && index < wordCount, "word outside the bitmap")
        precondition(index < wordCount - 1 || bits & ~lastWordMask == 0, "bits outside the bitmap")
        noteUse(word: index)
        return unsafe words[index].bitwiseOr(bits, ordering: .acquiringAndReleasing).oldValue
    }

    /// Removes `bits` from a word.
    /// - Returns: what the word held before.
    @inlinable @discardableResult
    public func remove(bits: UInt64, word index: Int) -> UInt64 {
        precondition(index >= 0 && index < wordCount, "word outside the bitmap")
        // As in `take(word:)`: usually there is nothing to remove, and then no write is needed.
        let now = unsafe words[index].load(ordering: .acquiring)
        if now & bits == 0 { return now }
        return unsafe words[index].bitwiseAnd(~bits, ordering: .acquiringAndReleasing).oldValue
    }

    /// Empties the set.
    public func removeAll() { forEachUsedWord { _ = take(word: $0) } }

    // MARK: Chunks

    /// Call before a bit of the word is set.
    @inlinable
    func noteUse(word index: Int) {
        let chunk = index >> Self.chunkShift
        let bit: UInt64 = 1 << UInt64(chunk & 63)
        // Load first: the bit is nearly always set. Relaxed is enough, because the release of the insert that follows orders it: a thread
        // that synchronises with that insert reads this bit or a later value of the word.
        if unsafe usedChunks[chunk >> 6].load(ordering: .relaxed) & bit == 0 {
            unsafe usedChunks[chunk >> 6].bitwiseOr(bit, ordering: .relaxed)
        }
    }

    /// The first word at or after an index whose chunk was ever used; `wordCount` if there is none.
    public func nextUsedWord(from index: Int) -> Int {
        guard index < wordCount else { return wordCount }
        let chunk = index >> Self.chunkShift
        var word = chunk >> 6
        var bits = unsafe usedChunks[word].load(ordering: .acquiring) & (~0 << UInt64(chunk & 63))
        while bits == 0 {
            word += 1
            guard word < chunkWordCount else { return wordCount }
            bits = unsafe usedChunks[word].load(ordering: .acquiring)
        }
        return min(max(index, (word << 6 + bits.trailingZeroBitCount) << Self.chunkShift), wordCount)
    }

    /// Calls `body` with each word of the chunks that were ever used, ascending.
    @inlinable
    public func forEachUsedWord<Failure: Error>(_ body: (_ index: Int) throws(Failure) -> Void) throws(Failure) {
        var index = nextUsedWord(from: 0)
        while index < wordCount {
            let end = min((index >> Self.chunkShift + 1) << Self.chunkShift, wordCount)
            while index < end {
                try body(index)
                index += 1
            }
            index = nextUsedWord(from: end)
        }
    }

    /// The first run at or after a page, within at most `maximumWords` words. Each of its pages is in the set now. Chunks that were never
    /// used are skipped and do not count.
    /// - Returns: the run, or `nil` if the words held none, and the page where the search continues.
    @inlinable
    public func nextRun(from start: PageIndex, maximumPages: Int = .max, maximumWords: Int = .max) -> (run: PageRun?, next: PageIndex) {
        var index = nextUsedWord(from: start.rawValue >> 6)
        guard index < wordCount else { return (nil, PageIndex(pageCount)) }
        let lastWord = maximumWords >= wordCount - index ? wordCount : index + maximumWords
        let behindStart: UInt64 = index == start.rawValue >> 6 ? ~0 << UInt64(start.rawValue & 63) : ~0
        var bits = unsafe words[index].load(ordering: .acquiring) & behindStart
        while bits == 0 {
            index += 1
            if index & (1 << Self.chunkShift - 1) == 0 { index = nextUsedWord(from: index) }
            guard index < lastWord else { return (nil, PageIndex(min(index << 6, pageCount))) }
            bits = unsafe words[index].load(ordering: .acquiring)
        }
        let first = index << 6 + bits.trailingZeroBitCount
        // Extend over consecutive pages, from word to word.
        var length = (~(bits >> UInt64(first & 63))).trailingZeroBitCount
        length = min(length, 64 - first & 63)
        while length < maximumPages, (first + length) & 63 == 0 {
            index += 1
            guard index < lastWord else { break }
            let more = (~(unsafe words[index].load(ordering: .acquiring))).trailingZeroBitCount
            length += more
            if more < 64 { break }
        }
        length = min(length, maximumPages)
        return (PageRun(first: PageIndex(first), count: length), PageIndex(first + length))
    }

    /// Calls `body` with each run, ascending.
    @inlinable
    public func forEachRun<Failure: Error>(_ body: (PageRun) throws(Failure) -> Void) throws(Failure) {
        var position = PageIndex(0)
        while position.rawValue < pageCount {
            let (run, next) = nextRun(from: position)
            if let run { try body(run) }
            position = next
        }
    }

    /// Whether any of the words holds pages now.
    public func hasPages(in range: Range<Int>) -> Bool { range.contains { load(word: $0) != 0 } }

    /// Makes the kernel provide the memory behind some words, so that no page fault happens while a lock is held.
    public func touch(words range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= wordCount, "words outside the bitmap")
        let wordsPerPage = GuestPage.size / 8
        var word = range.lowerBound
        while word < range.upperBound {
            unsafe words[word].bitwiseOr(0, ordering: .relaxed)
            word = (word / wordsPerPage + 1) * wordsPerPage
        }
    }

    /// The bits of the last word that stand for pages.
    @inlinable var lastWordMask: UInt64 { pageCount & 63 == 0 ? ~0 : (1 << UInt64(pageCount & 63)) - 1 }

    @inlinable
    func forEachWord(of run: PageRun, _ body: (_ index: Int, _ mask: UInt64) -> Void) {
        precondition(run.end.rawValue <= pageCount, "run outside the bitmap")
        var page = run.first.rawValue
        let end = run.end.rawValue
        while page < end {
            let bit = page & 63
            let length = min(64 - bit, end - page)
            let mask: UInt64 = length == 64 ? ~0 : ((1 << UInt64(length)) - 1) << UInt64(bit)
            body(page >> 6, mask)
            page += length
        }
    }
}

extension PageSet {
    /// The runs of pages in the set that lie in `run`, cut at its ends.
    public func runs(within run: PageRun) -> [PageRun] {
        var runs: [PageRun] = []
        var position = run.first
        while position < run.end {
            let (found, next) = nextRun(
                from: position,
                maximumPages: run.end.rawValue - position.rawValue,
                maximumWords: (run.end.rawValue - 1) >> 6 - position.rawValue >> 6 + 1
            )
            position = next
            guard let found, found.first < run.end else { break }
            runs.append(PageRun(first: found.first, count: min(found.count, run.end.rawValue - found.first.rawValue)))
        }
        return runs
    }
}
