package import AerostatGuestMemory
package import AerostatHost

/// The state of each page, and how it changes when the page is written, hinted, taken, sent or given back: sets of pages, sums, and the
/// rules between them.
///
/// ```
///            merge                       takeBatch
///  written ----------->  pending  ----------------------->  on its way
///                          |  ^
///            hint (id open) |  | merge
///                          v  |
///                         free  ----- takeFreeRuns ----->  announced
/// ```
///
/// It has no lock and no clock, and knows no guest memory. Its user (`PageLedger`) admits one caller at a time and divides long work into
/// slices: the cost of a call is proportional to the words that it is given.
package struct PageAccount: Sendable {
    package let sets: PageSets
    package var counts = PageCounts()
    /// The open command: only its hints count (rule "the id decides").
    package private(set) var open: CommandID?
    /// What the guest has reported under the open command.
    package private(set) var progress = HintProgress()

    package init(_ sets: PageSets) { self.sets = sets }

    // MARK: The tracker

    /// Pages that were found written become pending and are no longer free. Takes the pages of these words out of `dirty`.
    ///
    /// Hints must be closed (rule "stop before sync"): a hint that came late would clear a page whose write is in `dirty`.
    /// - Returns: how many pages were in the words.
    package mutating func merge(_ dirty: PageSet, words: Range<Int>) -> Int {
        precondition(open == nil, "a harvest is merged while hints are open")
        let (pending, free, skipped) = (sets.pending, sets.free, sets.skipped)
        var (found, added, again, unskipped) = (0, 0, 0, 0)
        for word in words {
            let bits = dirty.take(word: word)
            guard bits != 0 else { continue }
            found += bits.nonzeroBitCount
            added += (bits & ~pending.insert(bits: bits, word: word)).nonzeroBitCount
            let wasFree = bits & free.remove(bits: bits, word: word)
            if wasFree != 0 {
                again += wasFree.nonzeroBitCount
                sets.reused.insert(bits: wasFree, word: word)
            }
            unskipped += (bits & skipped.remove(bits: bits, word: word)).nonzeroBitCount
            sets.announced.remove(bits: bits, word: word)
        }
        counts.pending += added
        counts.redirtied += again
        counts.skipped -= unskipped
        return found
    }

    /// Records free pages of one word that the guest cleared before the tracker was armed. They stay pending, like all pages that exist.
    package mutating func recordCleared(_ reported: UInt64, word: Int) {
        let written = reported & sets.pending.load(word: word)
        if written != 0 { sets.reused.insert(bits: written, word: word) }
        counts.reported += reported.nonzeroBitCount
        counts.redirtied += written.nonzeroBitCount
    }

    // MARK: Hints

    /// From now on, blocks under this id count. The tracker must be armed (rule "arm before asking").
    package mutating func openHints(_ id: CommandID) {
        precondition(open == nil, "a command is open already")
        open = id
        progress = HintProgress()
    }

    /// From now on, no hint clears a page.
    package mutating func closeHints() { open = nil }

    /// The guest has begun to answer a command.
    /// - Returns: whether it is the open one.
    package mutating func noteStart(_ id: CommandID) -> Bool {
        guard open == id else { return false }
        progress.isStarted = true
        return true
    }

    /// The guest has answered a command.
    /// - Returns: whether it is the open one.
    package mutating func noteStop(_ id: CommandID) -> Bool {
        guard open == id else { return false }
        progress.isStopped = true
        return true
    }

    /// Counts parts of a block that are outside RAM or not whole pages. The sum saturates, because the guest chooses what it hints and how
    /// often.
    package mutating func countDropped(_ bytes: UInt64, _ id: CommandID) {
        guard open == id else { return }
        let (sum, overflows) = counts.droppedBytes.addingReportingOverflow(Int(clamping: bytes))
        counts.droppedBytes = overflows ? .max : sum
    }

    /// The guest says that it does not use a run. Checking the id and clearing the pages are one step, so that no harvest can come between
    /// them.
    /// - Returns: how many of the pages were pending; `nil` if the command is not open.
    package mutating func hint(_ run: PageRun, _ id: CommandID) -> Int? {
        guard open == id else { return nil }
        let spared = free(run)
        counts.reported += run.count
        progress.clearedPages += spared
        progress.reportedPages += run.count
        return spared
    }

    /// Makes a run free and not pending.
    /// - Returns: how many of its pages were pending.
    @discardableResult
    package mutating func free(_ run: PageRun) -> Int {
        sets.free.insert(run)
        var spared = 0
        for inside in sets.pending.runs(within: run) {
            sets.skipped.insert(inside)
            spared += sets.pending.remove(inside)
        }
        counts.pending -= spared
        counts.skipped += spared
        return spared
    }

    // MARK: Sums, for the other files

    mutating func addPending(_ bits: UInt64, word: Int) -> Int {
        guard bits != 0 else { return 0 }
        let added = (bits & ~sets.pending.insert(bits: bits, word: word)).nonzeroBitCount
        counts.pending += added
        return added
    }
}

/// The sets of an account. Single operations on them are atomic, so a caller that reads or changes one set alone needs no lock.
package struct PageSets: Sendable {
    /// Pages whose current content the destination does not have.
    package let pending: PageSet
    /// Pages that were hinted and have not been written since.
    package let free: PageSet
    /// Free pages that the destination knows to be free.
    package let announced: PageSet
    /// Pages that a hint took out of `pending` and that have not become pending again.
    package let skipped: PageSet
    /// Pages that were free, were written, and have not been sent since. Only the sender takes them out.
    package let reused: PageSet
    /// Pages of which the destination may hold data: they were taken to be sent, and not announced as zero or free since.
    package let carried: PageSet
    /// Pages that were given back during the migration and not found to exist since.
    package let discarded: PageSet

    package init(pageCount: Int) throws(SystemError) {
        pending = try PageSet(pageCount: pageCount)
        free = try PageSet(pageCount: pageCount)
        announced = try PageSet(pageCount: pageCount)
        skipped = try PageSet(pageCount: pageCount)
        reused = try PageSet(pageCount: pageCount)
        carried = try PageSet(pageCount: pageCount)
        discarded = try PageSet(pageCount: pageCount)
    }
}

/// Sums over the whole migration, in pages.
public struct PageCounts: Hashable, Sendable {
    public var pending = 0
    /// Whole pages in RAM that valid hints covered, each hint counted.
    public var reported = 0
    /// Pages that hints have spared so far and that were not written again.
    public var skipped = 0
    /// Free pages that were written again.
    public var redirtied = 0
    /// Bytes of hinted blocks that are outside RAM, or not whole pages.
    public var droppedBytes = 0
    /// Pages that were given back to the host; each time counts.
    public var discarded = 0
    /// Of these, the pages that were pending and need not be sent, because the destination has nothing of them.
    public var discardedUnsent = 0
    /// Of the discarded pages, those that became pending, to be sent as zeros, because the destination may have other data.
    public var discardedAfterSent = 0

    public init() {}
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
