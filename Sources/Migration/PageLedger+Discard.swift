public import AerostatGuestMemory

// Memory that is given back in the middle of a migration: what it means is in `PageAccount+Discard.swift`.
extension PageLedger: DiscardSubscriber {
    public func willDiscard(_ run: PageRun) {
        forEachSlice(of: run) { slice in
            sets.discarded.touch(words: slice.words)
            withAccount { $0.willDiscard(slice) }
        }
    }

    public func didDiscard(_ run: PageRun) {
        forEachSlice(of: run) { slice in
            sets.discarded.touch(words: slice.words)
            if sets.carried.hasPages(in: slice.words) { sets.pending.touch(words: slice.words) }
            withAccount { $0.didDiscard(slice) }
        }
    }

    public func failedToDiscard(_ run: PageRun) {
        forEachSlice(of: run) { slice in
            sets.pending.touch(words: slice.words)
            withAccount { $0.failedToDiscard(slice) }
        }
    }

    /// The parts of a run that are worked on under one hold of the lock each.
    private func forEachSlice(of run: PageRun, _ body: (PageRun) -> Void) {
        precondition(run.end.rawValue <= regions.pageCount, "a run of another guest")
        for slice in run.slices(ofAtMost: Self.pagesPerHold) { body(slice) }
    }

    // MARK: The sender

    /// Pages of a run that were given back and have not been found to exist since. Ask whether they exist before reading them.
    public func discardedRuns(in run: PageRun) -> [PageRun] { sets.discardedRuns(in: run) }

    /// Pages of a run that was given back exist again.
    public func noteExistence(of run: PageRun) { sets.noteExistence(of: run) }

    /// The destination was told that the pages are zero, or free: it holds no data of them.
    public func noteCleared(_ run: PageRun) { sets.noteCleared(run) }
}
