public import AerostatGuestMemory
public import AerostatHost
import Synchronization

/// The source's account of every page: what must still travel, what is free, and what the destination was told.
///
/// ```
///            harvest                     takeBatch
///  written ----------->  pending  ----------------------->  on its way
///                          |  ^
///            hint (id open) |  | written again
///                          v  |
///                         free  ----- takeFreeRuns ----->  announced
/// ```
///
/// The hint thread, the sender and whoever gives memory back share it under one lock, which each holds for a bounded time only: the
/// sender for one batch or a slice of bitmap words, the hint thread for one block.
public final class PageLedger: HintSink {
    public let regions: RegionTable
    /// Pages whose content the destination does not have.
    let pending: PageSet
    /// Pages that were hinted and have not been written since.
    let free: PageSet
    /// Free pages that the destination knows to be free.
    private let announced: PageSet
    /// Pages that a hint took out of `pending` and that have not become pending again.
    private let skipped: PageSet
    /// Pages that were free, were written, and have not left since. Only the sender uses it.
    private let reused: PageSet
    /// Pages of which the destination may hold data: taken to be sent, and not sent as zero or told to be free since.
    let carried: PageSet
    /// Pages that were given back during the migration, and that nobody has found to exist since.
    let discarded: PageSet
    let state = Mutex(State())
    #if BrokenEngines
        private let lateHints = Mutex<[PageRun]>([])
    #endif

    struct State {
        /// The command whose hints count now (rule "the id decides").
        var open: CommandID?
        var progress = HintProgress()
        var counts = Counts()
        var wake: (@Sendable () -> Void)?
        var longestHold = LockHold()

        /// The guest chooses what it hints, and how often: the sum stays at its end.
        mutating func countDropped(_ bytes: UInt64, _ id: CommandID) {
            guard open == id else { return }
            let (sum, overflows) = counts.droppedBytes.addingReportingOverflow(Int(clamping: bytes))
            counts.droppedBytes = overflows ? .max : sum
        }
    }

    /// Sums over the whole migration, in pages.
    public struct Counts: Hashable, Sendable {
        public var pending = 0
        /// Whole pages in RAM that valid hints covered, each hint counted.
        public var reported = 0
        /// Pages that hints spared so far and that were not written again.
        public var skipped = 0
        /// Free pages that were written again.
        public var redirtied = 0
        /// Parts of blocks that are outside RAM, or not whole pages.
        public var droppedBytes = 0
        /// Pages that were given back to the host, each time counted.
        public var discarded = 0
        /// Of these, the ones that were pending, and need not travel: the destination has nothing of them.
        public var discardedUnsent = 0
        /// Of these, the ones that became pending, to travel as zeros: the destination may have something else.
        public var discardedAfterSent = 0
    }

    /// How long the lock was held: on the clock, and by the holder's own work. They differ where the kernel gave the holder's core to
    /// another thread meanwhile. Processor time is not taken for a hint of up to 4 MiB.
    public struct LockHold: Hashable, Sendable {
        public var elapsed: Duration = .zero
        public var processor: Duration = .zero
    }

    /// Words looked at under one hold of the lock: 2^15 pages. Looking takes a microsecond; the first writes to a bitmap's own
    /// memory, which the kernel provides page by page, take much longer.
    static let wordsPerHold = 512
    /// A block of 4 MiB, the largest that Linux hints, and a word at each end.
    static let wordsOfShortBlock = 18

    public init(_ regions: RegionTable) throws(SystemError) {
        self.regions = regions
        pending = try PageSet(pageCount: regions.pageCount)
        free = try PageSet(pageCount: regions.pageCount)
        announced = try PageSet(pageCount: regions.pageCount)
        skipped = try PageSet(pageCount: regions.pageCount)
        reused = try PageSet(pageCount: regions.pageCount)
        carried = try PageSet(pageCount: regions.pageCount)
        discarded = try PageSet(pageCount: regions.pageCount)
    }

    /// Called, under the lock, when the guest finishes answering a command. It must only wake somebody.
    public func setWake(_ wake: (@Sendable () -> Void)?) { state.withLock { $0.wake = wake } }

    /// How many pages are in which state.
    public var counts: Counts { state.withLock { $0.counts } }
    /// What the guest has reported under the open command.
    public var progress: HintProgress { state.withLock { $0.progress } }
    /// The longest times for which one call held the lock.
    public var longestHold: LockHold { state.withLock { $0.longestHold } }
    /// How many pages are pending.
    public var pendingPages: Int { state.withLock { $0.counts.pending } }

    /// Whether the page is free: hinted, and not written since.
    public func isFree(_ page: PageIndex) -> Bool { free.contains(page) }
    /// How many pages are free.
    public func freePageCount() -> Int { free.count() }

    /// Takes the lock and measures how long it is held.
    /// - Parameter isShort: the work is a few words, which is not worth the system call that asks for processor time.
    func withTimedLock<Result>(isShort: Bool = false, _ body: (inout State) -> sending Result) -> sending Result {
        state.withLock { state in
            let start = MonotonicClock.now()
            let startOfWork = isShort ? nil : ThreadClock.now()
            defer {
                if let startOfWork {
                    state.longestHold.processor = max(state.longestHold.processor, ThreadClock.now() - startOfWork)
                }
                state.longestHold.elapsed = max(state.longestHold.elapsed, start.duration(to: MonotonicClock.now()))
            }
            return body(&state)
        }
    }

    // MARK: The sender

    /// Adds pages whose content the destination lacks, and takes them out of the free ones; empties `dirty`.
    ///
    /// Hinting must be closed (rule "stop before sync"): a hint that came late would clear a page whose write is in `dirty`.
    /// - Returns: how many pages were in `dirty`.
    @discardableResult
    public func merge(_ dirty: PageSet) -> Int {
        precondition(dirty.pageCount == regions.pageCount, "a bitmap of another guest")
        #if BrokenEngines
            let mayBeOpen = BrokenEngine.isActive(.harvestsBeforeStop)
        #else
            let mayBeOpen = false
        #endif
        precondition(state.withLock { mayBeOpen || $0.open == nil }, "a harvest is merged while hints are open")
        var total = 0
        var start = dirty.nextUsedWord(from: 0)
        while start < dirty.wordCount {
            let words = start..<min(start + Self.wordsPerHold, dirty.wordCount)
            defer { start = dirty.nextUsedWord(from: words.upperBound) }
            // Most of a large guest is holes: nothing is touched for them.
            guard dirty.hasPages(in: words) else { continue }
            pending.touch(words: words)
            if free.hasPages(in: words) { reused.touch(words: words) }
            total += withTimedLock { state in
                precondition(mayBeOpen || state.open == nil, "a harvest is merged while hints are open")
                var found = 0
                for word in words {
                    var bits = dirty.take(word: word)
                    #if BrokenEngines
                        if BrokenEngine.isActive(.forgetsFreePagesWrites) { bits &= ~free.load(word: word) }
                    #endif
                    guard bits != 0 else { continue }
                    found += bits.nonzeroBitCount
                    state.counts.pending += (bits & ~pending.insert(bits: bits, word: word)).nonzeroBitCount
                    let again = bits & free.remove(bits: bits, word: word)
                    if again != 0 {
                        state.counts.redirtied += again.nonzeroBitCount
                        reused.insert(bits: again, word: word)
                    }
                    state.counts.skipped -= (bits & skipped.remove(bits: bits, word: word)).nonzeroBitCount
                    announced.remove(bits: bits, word: word)
                }
                return found
            }
        }
        return total
    }

    /// Takes the next pending pages out, in ascending order, to be read and sent after this call (rule "clear, then read").
    /// - Parameters:
    ///   - cursor: where to look; moved on. At the end of the guest it stands at `pageCount`.
    ///   - runs: filled with at most `maximumRuns` runs of at most `maximumPages` pages together. A run that must be cut is
    ///     cut at a 2 MiB boundary where it has one, so that whole blocks arrive whole and can be huge pages.
    /// - Returns: whether there is more to look at behind the cursor.
    public func takeBatch(
        from cursor: inout PageIndex,
        maximumPages: Int,
        maximumRuns: Int,
        into runs: inout [PageRun]
    ) -> Bool {
        precondition(maximumPages > 0 && maximumRuns > 0, "an empty batch")
        runs.removeAll(keepingCapacity: true)
        #if BrokenEngines
            applyLateHints()
        #endif
        let start = cursor
        let firstWord = min(start.rawValue >> 6, pending.wordCount)
        touchCarried(firstWord..<min(firstWord + Self.wordsPerHold, pending.wordCount))
        let (taken, next) = withTimedLock { state in
            var taken: [PageRun] = []
            var position = start
            var left = maximumPages
            var words = Self.wordsPerHold
            while left > 0, taken.count < maximumRuns, words > 0, position.rawValue < regions.pageCount {
                // What was never pending does not count for the words that are looked at.
                position = max(position, PageIndex(min(pending.nextUsedWord(from: position.rawValue >> 6) << 6, regions.pageCount)))
                let (run, next) = pending.nextRun(from: position, maximumPages: left, maximumWords: words)
                words -= (next.rawValue >> 6) - (position.rawValue >> 6) + 1
                position = next
                guard var run else { continue }
                if run.count == left, let aligned = run.endingAtHugePage {
                    run = aligned
                    position = run.end
                    left = run.count
                }
                let removed = pending.remove(run)
                precondition(removed == run.count, "the ledger's lock was not held")
                state.counts.pending -= removed
                carried.insert(run)
                left -= run.count
                taken.append(run)
            }
            return (taken, position)
        }
        runs.append(contentsOf: taken)
        cursor = next
        return next.rawValue < regions.pageCount
    }

    /// Makes a batch that was taken and did not leave pending again. What was hinted meanwhile stays free: nobody needs its bytes, and
    /// the hint spared them after all.
    public func giveBack(_ runs: [PageRun]) {
        withTimedLock { state in
            for run in runs.lazy.flatMap(\.indices).map({ PageRun(first: PageIndex($0), count: 1) }) {
                if free.contains(run.first) {
                    state.counts.skipped += skipped.insert(run)
                } else {
                    state.counts.pending += pending.insert(run)
                }
            }
        }
    }

    /// Takes account of free pages that the guest cleared before the tracker was armed. They stay pending, as all pages that exist.
    public func recordCleared(_ cleared: PageSet) {
        precondition(cleared.pageCount == regions.pageCount, "a bitmap of another guest")
        cleared.forEachUsedWord { word in
            let reported = cleared.load(word: word)
            guard reported != 0 else { return }
            let written = reported & pending.load(word: word)
            if written != 0 { reused.insert(bits: written, word: word) }
            state.withLock { state in
                state.counts.reported += reported.nonzeroBitCount
                state.counts.redirtied += written.nonzeroBitCount
            }
        }
    }

    /// A run has left: how many of its pages had been free, and were written again.
    public func takeReused(in run: PageRun) -> Int {
        reused.hasPages(in: run.first.rawValue >> 6..<(run.end.rawValue + 63) >> 6) ? reused.remove(run) : 0
    }

    /// Forgets that the destination was told of free pages: the frame did not leave.
    public func withdraw(_ runs: [PageRun]) {
        withTimedLock { _ in
            for run in runs { announced.remove(run) }
        }
    }

    /// Takes free pages that the destination was not told of yet.
    ///
    /// A page of them that the guest has written meanwhile is in the tracker's log: its data follows after the next harvest.
    /// - Parameter maximumRuns: at least 64, so that the runs of one word always fit.
    /// - Returns: whether there is more to look at behind the cursor.
    public func takeFreeRuns(from cursor: inout PageIndex, maximumRuns: Int, into runs: inout [PageRun]) -> Bool {
        precondition(maximumRuns >= 64, "a word of free pages may not fit")
        runs.removeAll(keepingCapacity: true)
        let firstWord = free.nextUsedWord(from: cursor.rawValue >> 6)
        let end = min(firstWord + Self.wordsPerHold, free.wordCount)
        if free.hasPages(in: firstWord..<end) { announced.touch(words: firstWord..<end) }
        let (taken, next) = withTimedLock { _ in
            var taken: [PageRun] = []
            var word = firstWord
            while word < end, taken.count + 64 <= maximumRuns {
                let bits = free.load(word: word) & ~announced.load(word: word)
                if bits != 0 {
                    announced.insert(bits: bits, word: word)
                    Self.append(bits, word: word, to: &taken)
                }
                word += 1
            }
            return (taken, PageIndex(min(word << 6, regions.pageCount)))
        }
        runs.append(contentsOf: taken)
        cursor = next
        return next.rawValue < regions.pageCount
    }

    /// Appends the runs of one word, joined with the last run where they touch.
    private static func append(_ bits: UInt64, word: Int, to runs: inout [PageRun]) {
        var bits = bits
        while bits != 0 {
            let first = bits.trailingZeroBitCount
            let length = (~(bits >> UInt64(first))).trailingZeroBitCount
            let run = PageRun(first: PageIndex(word << 6 + first), count: min(length, 64 - first))
            if let last = runs.last, last.end == run.first {
                runs[runs.count - 1] = PageRun(first: last.first, count: last.count + run.count)
            } else {
                runs.append(run)
            }
            bits = first + length >= 64 ? 0 : bits & (~0 << UInt64(first + length))
        }
    }

    // MARK: Hints

    /// From now on, blocks under this id count. The tracker is armed (rule "arm before asking").
    public func hintsOpened(_ id: CommandID) {
        state.withLock { state in
            precondition(state.open == nil, "a command is open already")
            state.open = id
            state.progress = HintProgress()
        }
    }

    /// From the return on, no hint clears a page.
    public func closeHints() { state.withLock { $0.open = nil } }

    public func hintsStarted(_ id: CommandID) {
        state.withLock { state in
            guard state.open == id else { return }
            state.progress.isStarted = true
            state.wake?()
        }
    }

    public func hintsStopped(_ id: CommandID) {
        state.withLock { state in
            guard state.open == id else { return }
            state.progress.isStopped = true
            state.wake?()
        }
    }

    public func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome {
        #if BrokenEngines
            let whole = regions.brokenPages(at: address, byteCount: byteCount)
        #else
            let whole = regions.wholePages(at: address, byteCount: byteCount)
        #endif
        let runs = whole.runs
        if whole.droppedBytes > 0 { state.withLock { $0.countDropped(whole.droppedBytes, id) } }
        // One hold for what Linux hints (4 MiB); a block of gigabytes, which nothing forbids, is applied in slices.
        let slices = runs.flatMap { $0.slices(ofAtMost: Self.wordsPerHold * 64) }
        guard !slices.isEmpty else { return refuse(id) }
        var (pages, skipped) = (0, 0)
        for slice in slices {
            guard let spared = apply(slice, id) else { return pages == 0 ? .stale : .taken(pages: pages, skipped: skipped) }
            pages += slice.count
            skipped += spared
        }
        return .taken(pages: pages, skipped: skipped)
    }

    /// A block without a whole page in RAM.
    private func refuse(_ id: CommandID) -> HintOutcome {
        state.withLock { $0.open == id ? .invalid : .stale }
    }

    /// The check of the id and the clearing are one: between them no harvest may fit.
    /// - Returns: how many of the pages were pending; `nil` where the command is not open.
    private func apply(_ run: PageRun, _ id: CommandID) -> Int? {
        let words = run.first.rawValue >> 6..<(run.end.rawValue + 63) >> 6
        free.touch(words: words)
        if pending.hasPages(in: words) { skipped.touch(words: words) }
        return withTimedLock(isShort: words.count <= Self.wordsOfShortBlock) { state in
            guard state.open == id else { return nil }
            #if BrokenEngines
                if BrokenEngine.isActive(.appliesHintLate) {
                    lateHints.withLock { $0.append(run) }
                    state.counts.reported += run.count
                    return 0
                }
            #endif
            let spared = takeFree(run)
            state.counts.pending -= spared
            state.counts.skipped += spared
            state.counts.reported += run.count
            state.progress.clearedPages += spared
            state.progress.reportedPages += run.count
            return spared
        }
    }

    #if BrokenEngines
        /// What was checked when it came, and waits to be cleared.
        private func applyLateHints() {
            for run in lateHints.withLock({ hints in hints.extractAll() }) {
                state.withLock { state in
                    let spared = takeFree(run)
                    state.counts.pending -= spared
                    state.counts.skipped += spared
                }
            }
        }
    #endif

    /// Marks a run free and not pending.
    /// - Returns: how many of its pages were pending.
    private func takeFree(_ run: PageRun) -> Int {
        free.insert(run)
        var spared = 0
        for inside in pending.runs(within: run) {
            skipped.insert(inside)
            spared += pending.remove(inside)
        }
        return spared
    }
}

extension PageRun {
    /// The part up to the run's last 2 MiB boundary; `nil` where it has none inside.
    fileprivate var endingAtHugePage: PageRun? {
        let pagesPerBlock = (2 << 20) / GuestPage.size
        let boundary = end.rawValue / pagesPerBlock * pagesPerBlock
        return boundary > first.rawValue ? PageRun(first: first, count: boundary - first.rawValue) : nil
    }
}

/// How far the guest is with its answer to the open command.
public struct HintProgress: Hashable, Sendable {
    public var isStarted = false
    public var isStopped = false
    /// Pending pages that this command's hints removed.
    public var clearedPages = 0
    public var reportedPages = 0

    public init() {}
}
