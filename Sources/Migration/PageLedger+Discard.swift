public import AerostatGuestMemory

// Memory that is given back during a migration. `PageAccount+Discard.swift` explains what that means.
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

    /// Calls `body` for each part of a run that one hold of the lock may cover.
    private func forEachSlice(of run: PageRun, _ body: (PageRun) -> Void) {
        precondition(run.end.rawValue <= regions.pageCount, "a run of another guest")
        for slice in run.slices(ofAtMost: Self.pagesPerHold) { body(slice) }
    }

    // MARK: The sender

    /// Pages of a run that were given back and not found to exist since. Check that they exist before you read them.
    public func discardedRuns(in run: PageRun) -> [PageRun] { sets.discardedRuns(in: run) }

    /// The pages were given back and exist again.
    public func noteExistence(of run: PageRun) { sets.noteExistence(of: run) }

    /// The destination was told that the pages are zero or free, so it holds no data of them.
    public func noteCleared(_ run: PageRun) { sets.noteCleared(run) }
}
