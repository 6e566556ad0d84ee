public import AerostatGuestMemory

#if BrokenEngines
    import AerostatHost
#endif

// Guest memory is given back to the host in the middle of a migration (rule "discard is heard").
//
// A discarded page P becomes zero without a write, so no tracker tells. What must travel depends on what the destination may hold of P.
// If it holds nothing (P was never sent, or was last sent as zero or free), nothing need travel. If it may hold data, P becomes pending
// and travels as zero.
//
//      device                 guest                 this ledger
//      willDiscard(P)                               forgets that P is pending, where the destination has nothing of it
//      the content is zero
//                             may write P at any time; its write is in the tracker's log
//      didDiscard(P)                                P is pending where the destination may have something
//      acknowledges
//
// Forgetting must come first. A harvest between the two calls may make P pending for a new write of the guest. If the ledger forgot P
// after the content has changed, it would lose that write. Deciding must come last. Between the calls the sender may take P and send
// its old content. If the ledger decided before, the destination would keep that content.
//
// P is marked as carried when it is taken, before the sender reads it. So P is carried wherever the sender is when P is discarded: before
// reading, between reading and the last byte on the link, or later. Then P is pending again after the discard. If a harvest was made
// before the discard and is merged after it, P travels once more than needed, and nothing is lost. A free page stays free: the
// destination is told so, and has zero too. Whatever the guest writes to P later is in the tracker's log.
//
// The sender must not *read* P, because reading would allocate it again. It asks the kernel whether a discarded page exists, and if
// not, sends zero. It asks after P was taken, so the answer is as good as a read: any later write is in the log.
extension PageLedger: DiscardSubscriber {
    public func willDiscard(_ run: PageRun) {
        forEachSlice(of: run) { words in
            discarded.touch(words: words)
        } apply: { state, word, bits in
            discarded.insert(bits: bits, word: word)
            #if BrokenEngines
                if BrokenEngine.isActive(.forgetsAfterDiscard) { return }
            #endif
            forget(bits, word, &state)
        }
    }

    private func forget(_ bits: UInt64, _ word: Int, _ state: inout State) {
        let forgotten = bits & ~carried.load(word: word) & pending.load(word: word)
        guard forgotten != 0 else { return }
        pending.remove(bits: forgotten, word: word)
        state.counts.pending -= forgotten.nonzeroBitCount
        state.counts.discardedUnsent += forgotten.nonzeroBitCount
    }

    public func didDiscard(_ run: PageRun) {
        forEachSlice(of: run) { words in
            discarded.touch(words: words)
            if carried.hasPages(in: words) { pending.touch(words: words) }
        } apply: { state, word, bits in
            #if BrokenEngines
                if BrokenEngine.isActive(.forgetsAfterDiscard) { forget(bits, word, &state) }
            #endif
            state.counts.discarded += bits.nonzeroBitCount
            // Again, because a migration that began in the middle did not get the first call.
            discarded.insert(bits: bits, word: word)
            let stale = bits & carried.load(word: word) & ~free.load(word: word)
            let added = addPending(stale, word, &state)
            state.counts.discardedAfterSent += added
        }
    }

    public func failedToDiscard(_ run: PageRun) {
        forEachSlice(of: run) { words in
            pending.touch(words: words)
        } apply: { state, word, bits in
            // Nobody remembers which of these were pending.
            addPending(bits & ~free.load(word: word), word, &state)
            discarded.remove(bits: bits, word: word)
        }
    }

    @discardableResult
    private func addPending(_ bits: UInt64, _ word: Int, _ state: inout State) -> Int {
        guard bits != 0 else { return 0 }
        let added = (bits & ~pending.insert(bits: bits, word: word)).nonzeroBitCount
        state.counts.pending += added
        return added
    }

    /// Works on the words of a run, some under each hold of the lock.
    /// - Parameter prepare: called without the lock, to have the kernel provide the words' own memory.
    private func forEachSlice(
        of run: PageRun,
        _ prepare: (Range<Int>) -> Void,
        apply: (inout State, _ word: Int, _ bits: UInt64) -> Void
    ) {
        #if BrokenEngines
            if BrokenEngine.isActive(.discardUnheard) { return }
        #endif
        precondition(run.end.rawValue <= regions.pageCount, "a run of another guest")
        let end = (run.end.rawValue + 63) >> 6
        var first = run.first.rawValue >> 6
        while first < end {
            let words = first..<min(first + Self.wordsPerHold, end)
            prepare(words)
            withTimedLock(isShort: words.count <= Self.wordsOfShortBlock) { state in
                for word in words { apply(&state, word, run.bits(inWord: word)) }
            }
            first = words.upperBound
        }
    }

    // MARK: The sender

    /// Pages of a run that were given back and have not been found to exist since. Ask whether they exist before reading them.
    public func discardedRuns(in run: PageRun) -> [PageRun] {
        let words = run.first.rawValue >> 6..<(run.end.rawValue + 63) >> 6
        return discarded.hasPages(in: words) ? discarded.runs(within: run) : []
    }

    /// Pages of a run that was given back exist again.
    public func noteExistence(of run: PageRun) { discarded.remove(run) }

    /// The destination was told that the pages are zero, or free: it holds no data of them.
    public func noteCleared(_ run: PageRun) {
        let words = run.first.rawValue >> 6..<(run.end.rawValue + 63) >> 6
        if carried.hasPages(in: words) { carried.remove(run) }
    }

    /// Has the kernel provide the memory behind some words of `carried`, if pages in them may be taken.
    func touchCarried(_ words: Range<Int>) {
        if !words.isEmpty, pending.hasPages(in: words) { carried.touch(words: words) }
    }
}

extension PageRun {
    /// The run's pages that are in a word of a bitmap.
    fileprivate func bits(inWord word: Int) -> UInt64 {
        let first = max(first.rawValue - word << 6, 0)
        let end = min(end.rawValue - word << 6, 64)
        let upTo: UInt64 = end == 64 ? ~0 : (1 << UInt64(end)) - 1
        return upTo & (~0 << UInt64(first))
    }
}
