package import AerostatGuestMemory

// The sender's operations on the account.
extension PageAccount {
    /// Takes the next pending pages out, in ascending order, to be read and sent after this call (rule "clear, then read").
    /// - Parameters:
    ///   - start: where to look.
    ///   - maximumPages: the most pages of all runs together. A run that must be cut is cut at a 2 MiB boundary if it has one, so that
    ///     whole blocks arrive whole and can become huge pages.
    ///   - maximumWords: the most words of the set to look at.
    /// - Returns: the runs, and where to continue; `pageCount` at the end of the guest.
    package mutating func takeBatch(
        from start: PageIndex,
        maximumPages: Int,
        maximumRuns: Int,
        maximumWords: Int
    ) -> (taken: [PageRun], next: PageIndex) {
        let (pending, carried) = (sets.pending, sets.carried)
        let pageCount = pending.pageCount
        var taken: [PageRun] = []
        var position = start
        var left = maximumPages
        var words = maximumWords
        while left > 0, taken.count < maximumRuns, words > 0, position.rawValue < pageCount {
            // Words that were never used are skipped and do not count against the limit.
            position = max(position, PageIndex(min(pending.nextUsedWord(from: position.rawValue >> 6) << 6, pageCount)))
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
            precondition(removed == run.count, "two callers are in the account")
            carried.insert(run)
            left -= run.count
            taken.append(run)
        }
        let pages = taken.reduce(0) { $0 + $1.count }
        counts.pending -= pages
        return (taken, position)
    }

    /// Makes a batch pending again that was taken but not sent. Pages that were hinted meanwhile stay free: nobody needs their bytes, so
    /// they count as spared by the hint.
    package mutating func giveBack(_ runs: [PageRun]) {
        var (spared, pending) = (0, 0)
        for page in runs.lazy.flatMap(\.indices).map({ PageRun(first: PageIndex($0), count: 1) }) {
            if sets.free.contains(page.first) {
                spared += sets.skipped.insert(page)
            } else {
                pending += sets.pending.insert(page)
            }
        }
        counts.skipped += spared
        counts.pending += pending
    }

    /// Takes free pages, from a range of words, that the destination was not told of yet.
    ///
    /// If the guest has written one of them meanwhile, the page is in the tracker's log and its data follows after the next harvest.
    /// - Parameter maximumRuns: at least 64, so that the runs of one word always fit.
    /// - Returns: the runs, and the word to continue with.
    package mutating func takeFreeRuns(words: Range<Int>, maximumRuns: Int) -> (taken: [PageRun], next: Int) {
        let (free, announced) = (sets.free, sets.announced)
        var taken: [PageRun] = []
        var word = words.lowerBound
        while word < words.upperBound, taken.count + 64 <= maximumRuns {
            let bits = free.load(word: word) & ~announced.load(word: word)
            if bits != 0 {
                announced.insert(bits: bits, word: word)
                Self.append(bits, word: word, to: &taken)
            }
            word += 1
        }
        return (taken, word)
    }

    /// Takes back that the destination was told of free pages, because the frame was not sent.
    package mutating func withdraw(_ runs: [PageRun]) {
        for run in runs { sets.announced.remove(run) }
    }

    /// Appends the runs of one word, and joins the first to the last run if they touch.
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
}

// Operations on one set alone, which need no lock.
extension PageSets {
    /// A run was sent: returns how many of its pages had been free and were written again.
    package func takeReused(in run: PageRun) -> Int { reused.hasPages(in: run.words) ? reused.remove(run) : 0 }

    /// The destination was told that the pages are zero or free, so it holds no data of them.
    package func noteCleared(_ run: PageRun) { if carried.hasPages(in: run.words) { carried.remove(run) } }

    /// Pages of a run that were given back and not found to exist since. Check that they exist before you read them.
    package func discardedRuns(in run: PageRun) -> [PageRun] { discarded.hasPages(in: run.words) ? discarded.runs(within: run) : [] }

    /// The pages were given back and exist again.
    package func noteExistence(of run: PageRun) { discarded.remove(run) }
}

extension PageRun {
    /// The words of a set that hold the run.
    var words: Range<Int> { first.rawValue >> 6..<(end.rawValue + 63) >> 6 }

    /// The part up to the run's last 2 MiB boundary; `nil` if there is no boundary inside the run.
    fileprivate var endingAtHugePage: PageRun? {
        let pagesPerBlock = (2 << 20) / GuestPage.size
        let boundary = end.rawValue / pagesPerBlock * pagesPerBlock
        return boundary > first.rawValue ? PageRun(first: first, count: boundary - first.rawValue) : nil
    }
}
