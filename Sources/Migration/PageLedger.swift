public import AerostatGuestMemory
public import AerostatHost
import Synchronization

/// The source's account of every page. The device's thread, the sender and any thread that gives memory back share it.
///
/// `PageAccount` has the rules. This class adds the lock, which each caller holds for a bounded time: one batch, one slice of 512 words, or
/// one hinted block. A call touches the memory of the sets that it will write before it takes the lock, so that no page fault happens under
/// the lock.
public final class PageLedger: HintSink {
    public let regions: RegionTable
    /// The account's sets, to read and to touch without the lock.
    let sets: PageSets
    private let state: Mutex<State>

    private struct State {
        var account: PageAccount
        var wake: (@Sendable () -> Void)?
        #if Instruments
            var longestHold = LockHold()
        #endif
    }

    /// Words examined under one hold of the lock: 2^15 pages. Examining them takes a microsecond. The first writes to a bitmap's own memory
    /// take much longer, because the kernel populates it page by page.
    package static let wordsPerHold = 512
    static let pagesPerHold = wordsPerHold * 64

    public init(_ regions: RegionTable) throws(SystemError) {
        self.regions = regions
        let sets = try PageSets(pageCount: regions.pageCount)
        self.sets = sets
        state = Mutex(State(account: PageAccount(sets)))
    }

    /// Called, under the lock, when the guest finishes answering a command. It must only wake somebody.
    public func setWake(_ wake: (@Sendable () -> Void)?) { state.withLock { $0.wake = wake } }

    /// How many pages are in each state.
    public var counts: PageCounts { state.withLock { $0.account.counts } }
    /// What the guest has reported under the open command.
    public var progress: HintProgress { state.withLock { $0.account.progress } }
    /// How many pages are pending.
    public var pendingPages: Int { state.withLock { $0.account.counts.pending } }

    /// Whether the page is free: hinted, and not written since.
    public func isFree(_ page: PageIndex) -> Bool { sets.free.contains(page) }
    /// How many pages are free.
    public func freePageCount() -> Int { sets.free.count() }

    #if Instruments
        /// The longest times for which one call held the lock.
        public var longestHold: LockHold { state.withLock { $0.longestHold } }
    #endif

    /// Calls `body` under the lock.
    package func withAccount<Result>(_ body: (inout PageAccount) -> sending Result) -> sending Result {
        state.withLock { state in
            #if Instruments
                let start = LockHold.Start()
                defer { state.longestHold.note(since: start) }
            #endif
            return body(&state.account)
        }
    }

    // MARK: The sender

    /// Makes the pages of `dirty` pending and no longer free; empties `dirty`.
    ///
    /// Hinting must be closed (rule "stop before sync").
    /// - Returns: how many pages were in `dirty`.
    @discardableResult
    public func merge(_ dirty: PageSet) -> Int {
        precondition(dirty.pageCount == regions.pageCount, "a bitmap of another guest")
        precondition(withAccount { $0.open == nil }, "a harvest is merged while hints are open")
        var total = 0
        var start = dirty.nextUsedWord(from: 0)
        while start < dirty.wordCount {
            let words = start..<min(start + Self.wordsPerHold, dirty.wordCount)
            defer { start = dirty.nextUsedWord(from: words.upperBound) }
            // Most of a large guest is holes, for which nothing is touched.
            guard dirty.hasPages(in: words) else { continue }
            sets.pending.touch(words: words)
            if sets.free.hasPages(in: words) { sets.reused.touch(words: words) }
            total += withAccount { $0.merge(dirty, words: words) }
        }
        return total
    }

    /// Takes the next pending pages out, in ascending order, to be read and sent after this call (rule "clear, then read").
    /// - Parameters:
    ///   - cursor: where to start; advanced by the call. At the end of the guest it is `pageCount`.
    ///   - runs: filled with at most `maximumRuns` runs of at most `maximumPages` pages together.
    /// - Returns: whether there is more to examine behind the cursor.
    public func takeBatch(
        from cursor: inout PageIndex,
        maximumPages: Int,
        maximumRuns: Int,
        into runs: inout [PageRun]
    ) -> Bool {
        precondition(maximumPages > 0 && maximumRuns > 0, "an empty batch")
        let start = cursor
        let firstWord = min(start.rawValue >> 6, sets.pending.wordCount)
        let words = firstWord..<min(firstWord + Self.wordsPerHold, sets.pending.wordCount)
        if !words.isEmpty, sets.pending.hasPages(in: words) { sets.carried.touch(words: words) }
        (runs, cursor) = withAccount {
            $0.takeBatch(from: start, maximumPages: maximumPages, maximumRuns: maximumRuns, maximumWords: Self.wordsPerHold)
        }
        return cursor.rawValue < regions.pageCount
    }

    /// Makes a batch that was taken and did not leave pending again, but for what was hinted meanwhile.
    public func giveBack(_ runs: [PageRun]) { withAccount { $0.giveBack(runs) } }

    /// Takes account of free pages that the guest cleared before the tracker was armed. They stay pending, as all pages that exist.
    public func recordCleared(_ cleared: PageSet) {
        precondition(cleared.pageCount == regions.pageCount, "a bitmap of another guest")
        cleared.forEachUsedWord { word in
            let reported = cleared.load(word: word)
            if reported != 0 { withAccount { $0.recordCleared(reported, word: word) } }
        }
    }

    /// A run has left: how many of its pages had been free, and were written again.
    public func takeReused(in run: PageRun) -> Int { sets.takeReused(in: run) }

    /// Takes free pages that the destination was not told of yet.
    /// - Parameter maximumRuns: at least 64, so that the runs of one word always fit.
    /// - Returns: whether there is more to examine behind the cursor.
    public func takeFreeRuns(from cursor: inout PageIndex, maximumRuns: Int, into runs: inout [PageRun]) -> Bool {
        precondition(maximumRuns >= 64, "a word of free pages may not fit")
        let first = sets.free.nextUsedWord(from: cursor.rawValue >> 6)
        let words = first..<min(first + Self.wordsPerHold, sets.free.wordCount)
        if sets.free.hasPages(in: words) { sets.announced.touch(words: words) }
        let next: Int
        (runs, next) = withAccount { $0.takeFreeRuns(words: words, maximumRuns: maximumRuns) }
        cursor = PageIndex(min(next << 6, regions.pageCount))
        return cursor.rawValue < regions.pageCount
    }

    /// Forgets that the destination was told of free pages: the frame did not leave.
    public func withdraw(_ runs: [PageRun]) { withAccount { $0.withdraw(runs) } }

    // MARK: Hints

    public func hintsOpened(_ id: CommandID) { withAccount { $0.openHints(id) } }

    /// From the return on, no hint clears a page.
    public func closeHints() { withAccount { $0.closeHints() } }

    public func hintsStarted(_ id: CommandID) {
        state.withLock { state in if state.account.noteStart(id) { state.wake?() } }
    }

    public func hintsStopped(_ id: CommandID) {
        state.withLock { state in if state.account.noteStop(id) { state.wake?() } }
    }

    public func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome {
        let whole = regions.wholePages(at: address, byteCount: byteCount)
        if whole.droppedBytes > 0 { withAccount { $0.countDropped(whole.droppedBytes, id) } }
        guard !whole.runs.isEmpty else { return withAccount { $0.open == id ? .invalid : .stale } }
        var (pages, skipped) = (0, 0)
        for run in whole.runs {
            // One hold for what Linux hints (4 MiB); a block of gigabytes, which nothing forbids, is applied in slices.
            for slice in run.slices(ofAtMost: Self.pagesPerHold) {
                guard let spared = hint(slice, id) else { return pages == 0 ? .stale : .taken(pages: pages, skipped: skipped) }
                pages += slice.count
                skipped += spared
            }
        }
        return .taken(pages: pages, skipped: skipped)
    }

    /// - Returns: how many of the pages were pending; `nil` where the command is not open.
    private func hint(_ run: PageRun, _ id: CommandID) -> Int? {
        let words = run.words
        sets.free.touch(words: words)
        if sets.pending.hasPages(in: words) { sets.skipped.touch(words: words) }
        return withAccount { $0.hint(run, id) }
    }
}
