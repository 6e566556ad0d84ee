#if BrokenEngines
    import AerostatGuestMemory
    import AerostatHost
    import AerostatMigration
    import AerostatMigrationIO
    import Synchronization

    /// The state that the decorators of one source share: the undecorated parts, and how far the migration is.
    // @unchecked: only the migration thread uses anything but `shared`.
    final class BrokenSource: @unchecked Sendable {
        let engine: BrokenEngine
        let guest: any Guest
        let link: any Transport
        let discards: any DiscardSubscriber
        let ledger: PageLedger
        var memory: GuestRAM { guest.memory }

        var isPaused = false
        var hasSentCommit = false
        var hasHeardRunning = false
        /// Commands published since the tracker was armed; `nil` before.
        var commandsSinceArming: Int?
        /// Runs that the link has taken and not sent yet.
        var unsent: [PageRun] = []

        private struct Shared {
            /// The device should have been told to stop, and was not.
            var isStopDue = false
            /// Blocks that are applied later.
            var late: [PageRun] = []
            /// Runs that the guest reported in the survey.
            var surveyed: [PageRun] = []
        }

        private let shared = Mutex(Shared())
        /// Pages that were ever given back.
        let givenBack: PageSet?

        init(_ engine: BrokenEngine, _ parts: SourceParts, _ ledger: PageLedger) {
            self.engine = engine
            guest = parts.guest
            link = parts.link
            discards = parts.discards
            self.ledger = ledger
            givenBack = engine == .deflateNotDirty ? try? PageSet(pageCount: parts.guest.memory.pageCount) : nil
        }

        var isStopDue: Bool {
            get { shared.withLock { $0.isStopDue } }
            set { shared.withLock { $0.isStopDue = newValue } }
        }

        /// Performs a stop that was held back.
        func stopIfDue() {
            guard isStopDue else { return }
            guest.hinting?.stop()
            isStopDue = false
        }

        func applyLater(_ runs: [PageRun]) { shared.withLock { $0.late += runs } }
        func noteSurveyed(_ runs: [PageRun]) { shared.withLock { $0.surveyed += runs } }

        func applyLate() {
            let runs = shared.withLock { shared in
                defer { shared.late = [] }
                return shared.late
            }
            for run in runs { ledger.withAccount { _ = $0.free(run) } }
        }

        func believeSurvey() {
            let runs = shared.withLock { shared in
                defer { shared.surveyed = [] }
                return shared.surveyed
            }
            for run in runs { takeFree(run) }
        }

        /// Makes every page pending, whether it exists or not.
        func sendEverything() {
            ledger.withAccount { account in
                for word in 0..<account.sets.pending.wordCount {
                    let last = word == account.sets.pending.wordCount - 1 ? memory.pageCount & 63 : 0
                    let all: UInt64 = (last == 0 ? ~0 : (1 << UInt64(last)) - 1) & ~account.sets.free.load(word: word)
                    account.counts.pending += (all & ~account.sets.pending.insert(bits: all, word: word)).nonzeroBitCount
                }
            }
        }

        /// Makes pages free without asking the ledger whether the command is open.
        func takeFree(_ run: PageRun) {
            ledger.withAccount { account in
                account.counts.reported += run.count
                _ = account.free(run)
            }
        }
    }

    /// The source's guest, with a broken tracker and a broken balloon.
    final class BrokenGuest: Guest {
        private let source: BrokenSource
        private var base: any Guest { source.guest }
        let tracker: any DirtyTracker
        let hinting: (any FreePageHinting)?

        init(_ source: BrokenSource) {
            self.source = source
            tracker = BrokenTracker(source)
            hinting = source.guest.hinting.map { BrokenHinting(source, $0) }
        }

        var memory: GuestRAM { base.memory }
        var requirements: [DeviceSection] { base.requirements }
        func saveDeviceState() throws(GuestError) -> [DeviceSection] { try base.saveDeviceState() }
        func loadDeviceState(_ sections: [DeviceSection]) throws(GuestError) { try base.loadDeviceState(sections) }
        func memoryUse() -> MemoryUse? { base.memoryUse() }

        func pause() throws(GuestError) {
            try base.pause()
            source.isPaused = true
        }

        func resume() throws(GuestError) {
            source.isPaused = false
            try base.resume()
        }
    }

    private final class BrokenTracker: DirtyTracker {
        private let source: BrokenSource
        private let base: any DirtyTracker

        init(_ source: BrokenSource) {
            self.source = source
            base = source.guest.tracker
        }

        var name: String { base.name }

        func arm() throws(SystemError) {
            try base.arm()
            source.commandsSinceArming = 0
        }

        func harvest(into dirty: PageSet) throws(SystemError) {
            try base.harvest(into: dirty)
            switch source.engine {
            case .rearmsLater: try base.harvest(into: PageSet(pageCount: dirty.pageCount))
            case .losesLastRound: if source.isPaused { dirty.removeAll() }
            case .forgetsFreePagesWrites:
                dirty.forEachUsedWord { word in
                    dirty.remove(bits: source.ledger.withAccount { $0.sets.free.load(word: word) }, word: word)
                }
            case .deflateNotDirty: source.givenBack?.forEachRun { dirty.remove($0) }
            default: break
            }
        }

        func disarm() {
            // This comes last in a migration whose outcome is unknown.
            if source.engine == .resumesAtBothEnds, source.hasSentCommit, !source.hasHeardRunning { try? source.guest.resume() }
            base.disarm()
        }
    }

    /// Hears of discards in place of the ledger.
    final class BrokenEars: DiscardSubscriber {
        private let source: BrokenSource
        private var base: any DiscardSubscriber { source.discards }

        init(_ source: BrokenSource) { self.source = source }

        func willDiscard(_ run: PageRun) {
            switch source.engine {
            case .discardUnheard: break
            // Records the pages as discarded, but forgets the pending ones only later.
            case .forgetsAfterDiscard: source.ledger.withAccount { _ = $0.sets.discarded.insert(run) }
            case .readsDiscarded:
                base.willDiscard(run)
                source.ledger.noteExistence(of: run)
            default: base.willDiscard(run)
            }
        }

        func didDiscard(_ run: PageRun) {
            switch source.engine {
            case .discardUnheard: break
            case .forgetsAfterDiscard:
                base.willDiscard(run)
                base.didDiscard(run)
            case .readsDiscarded:
                base.didDiscard(run)
                source.ledger.noteExistence(of: run)
            default:
                source.givenBack?.insert(run)
                base.didDiscard(run)
            }
        }

        func failedToDiscard(_ run: PageRun) { if source.engine != .discardUnheard { base.failedToDiscard(run) } }
    }
#endif
