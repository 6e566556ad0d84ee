import AerostatGuestMemory
import AerostatHost
import AerostatMigration

// Pages that were given back are not read, because reading would allocate them again.
extension SourceDriver {
    /// The pages of a batch that were given back and do not exist now. They are zero. If the guest writes one later, the next harvest finds
    /// it.
    func nonexistent(in runs: [PageRun]) throws(Interruption) -> Set<PageIndex> {
        var found: Set<PageIndex> = []
        for run in runs {
            for discarded in ledger.discardedRuns(in: run) {
                let existing = try existing(in: discarded)
                for run in existing { ledger.noteExistence(of: run) }
                found.formUnion(discarded.indices.map { PageIndex($0) })
                for run in existing { found.subtract(run.indices.map { PageIndex($0) }) }
            }
        }
        return found
    }

    private func existing(in run: PageRun) throws(Interruption) -> [PageRun] {
        do throws(SystemError) {
            if self.existing == nil { self.existing = try PageSet(pageCount: memory.pageCount) }
            let existing = self.existing!
            defer { existing.remove(run) }
            try memory.insertPresentPages(in: run, into: existing)
            return existing.runs(within: run)
        } catch {
            throw Interruption(guest: error)
        }
    }

    /// Fails the migration if memory was given back while the guest was paused, which `Guest.pause` forbids: that change would not travel
    /// any more.
    func checkNothingIsPending() throws(Interruption) {
        let left = ledger.pendingPages
        guard left > 0 else { return }
        throw Interruption(.failed(.guest("\(left) pages of its memory were given back while it was paused")))
    }
}
