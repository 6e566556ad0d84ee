public import AerostatGuestMemory
public import AerostatHost
import Synchronization

/// The sink of the one hint command that is published before the tracker is armed. It trusts none of the hints.
///
/// A kernel that clears what it allocates (Linux with `init_on_alloc`, which is Debian's default) writes to each block before its driver
/// hints it. If the tracker is armed, each page of the block costs that guest a fault, is found written at the next harvest and is sent as
/// zeros after all. Where faults are expensive, sending the block would have been faster. So such a guest is asked before the tracker is
/// armed. It clears its free memory at the speed of memory, and the sender later finds zero pages, like any others. Here no hint takes a
/// page out of any set, so none can lose a page (rule "arm before asking").
///
/// A kernel that does not clear what it allocates shows that with its first block. It is told to take its blocks back, and asked again
/// after the tracker is armed. Then its hints spare even the scan for zeros.
public final class FreePageSurvey: HintSink {
    private let memory: GuestRAM
    /// The pages that existed before the guest was asked. Clearing other pages spares nothing.
    private let present: PageSet
    /// The pages of all blocks so far.
    public let reported: PageSet
    private let state: Mutex<State>

    private struct State {
        var open: CommandID?
        var progress = SurveyProgress()
        /// Pages reported since the last block that spared something.
        var idlePages = 0
        /// Runs of pages that existed, by what they were found to hold.
        var clearedRuns = 0
        var keptRuns = 0
        let wake: @Sendable () -> Void
    }

    /// Pages that are checked in one run, and how many words (of 64 pages) are searched for each.
    private static let samplesPerRun = 4
    private static let wordsForEachSample = 16
    /// A guest under memory pressure reuses some of what it has just reported. If there is more than one run with content for this many
    /// cleared runs, the guest counts as one that does not clear.
    private static let clearedRunsForEachKept = 4
    /// The survey is exhausted after this many pages in a row that spared nothing, and that the host may have had to populate in vain: 64
    /// MiB, or a quarter of what exists if that is more.
    private let mostIdlePages: Int

    /// - Parameters:
    ///   - present: must not change while the command is open.
    ///   - wake: called, under a lock, when the guest has answered or there is nothing more to wait for. It must only wake somebody.
    public init(_ memory: GuestRAM, present: PageSet, wake: @escaping @Sendable () -> Void) throws(SystemError) {
        precondition(present.pageCount == memory.pageCount, "a bitmap of another guest")
        self.memory = memory
        self.present = present
        reported = try PageSet(pageCount: memory.pageCount)
        mostIdlePages = max(1 << 14, present.count() / 4)
        state = Mutex(State(wake: wake))
    }

    /// What the guest has reported so far.
    public var progress: SurveyProgress { state.withLock { $0.progress } }

    public func hintsOpened(_ id: CommandID) { state.withLock { $0.open = id } }

    public func hintsStarted(_ id: CommandID) { note(id) { $0.isStarted = true } }

    public func hintsStopped(_ id: CommandID) { note(id) { $0.isStopped = true } }

    private func note(_ id: CommandID, _ change: (inout SurveyProgress) -> Void) {
        state.withLock { state in
            guard state.open == id else { return }
            change(&state.progress)
            state.wake()
        }
    }

    public func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome {
        let runs = memory.regions.wholePages(at: address, byteCount: byteCount).runs
        return state.withLock { state in
            guard state.open == id else { return .stale }
            guard !runs.isEmpty else { return .invalid }
            var (pages, cleared) = (0, 0)
            for run in runs {
                let existing = present.count(in: run)
                let new = reported.insert(run)
                state.progress.reportedPages += new
                pages += run.count
                guard existing > 0, !state.progress.keepsContent else { continue }
                guard isZeroWhereLooked(run) else {
                    state.keptRuns += 1
                    continue
                }
                state.clearedRuns += 1
                // A guest may report the same block again and again: it counts once.
                if new == run.count { cleared += existing }
            }
            state.progress.clearedPages += cleared
            // A few kept runs are tolerated: they were cleared and are already in use again.
            if state.keptRuns > state.clearedRuns / Self.clearedRunsForEachKept, !state.progress.keepsContent {
                state.progress.keepsContent = true
                state.wake()
            }
            state.idlePages = cleared > 0 ? 0 : state.idlePages + pages
            if state.idlePages >= mostIdlePages, !state.progress.isExhausted {
                state.progress.isExhausted = true
                state.wake()
            }
            return .taken(pages: pages, skipped: cleared)
        }
    }

    /// Checks only a few of the pages that exist. That is enough, because a kernel clears whole blocks. Checking all would be slow: the
    /// guest may name a block of 4 GiB, and each check may read from a disk.
    private func isZeroWhereLooked(_ run: PageRun) -> Bool {
        for sample in 0..<Self.samplesPerRun {
            let start = run.first + run.count / Self.samplesPerRun * sample
            let (found, _) = present.nextRun(from: start, maximumPages: 1, maximumWords: Self.wordsForEachSample)
            guard let page = found?.first, page < run.end else { continue }
            guard memory.isZero(page) else { return false }
        }
        return true
    }
}
