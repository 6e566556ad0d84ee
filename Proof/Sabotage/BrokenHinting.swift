#if BrokenEngines
    import AerostatGuestMemory
    import AerostatHost
    import AerostatMigration

    final class BrokenHinting: FreePageHinting {
        private let source: BrokenSource
        private let base: any FreePageHinting

        init(_ source: BrokenSource, _ base: any FreePageHinting) {
            self.source = source
            self.base = base
        }

        var isAvailable: Bool { base.isAvailable }
        var fillsFreedPages: Bool { base.fillsFreedPages }
        var statistics: HintStatistics { base.statistics }
        var balloonFigures: BalloonFigures { base.balloonFigures }
        func resetStatistics() { base.resetStatistics() }

        func begin(reportingTo sink: any HintSink) -> CommandID {
            source.stopIfDue()
            guard let commands = source.commandsSinceArming else {
                return base.begin(reportingTo: source.engine == .believesSurvey ? SurveyRecorder(source, sink) : sink)
            }
            source.commandsSinceArming = commands + 1
            let id = base.begin(reportingTo: BrokenSink(source, sink))
            if source.engine == .armsAfterAsking, commands == 0 { try? source.guest.tracker.arm() }
            return id
        }

        func stop() {
            if source.engine == .harvestsBeforeStop { source.isStopDue = true } else { base.stop() }
        }

        func done(heard: (@Sendable () -> Void)?) {
            source.stopIfDue()
            // A completed migration says done while the guest is paused. One that backs out says it to a running guest, and that is the one
            // to forget.
            if source.engine == .forgetsDone, heard == nil, !source.isPaused { return base.stop() }
            base.done(heard: heard)
        }
    }

    /// The survey's sink; it records the reported blocks.
    private final class SurveyRecorder: HintSink {
        private let source: BrokenSource
        private let base: any HintSink

        init(_ source: BrokenSource, _ base: any HintSink) {
            self.source = source
            self.base = base
        }

        func hintsOpened(_ id: CommandID) { base.hintsOpened(id) }
        func hintsStarted(_ id: CommandID) { base.hintsStarted(id) }
        func hintsStopped(_ id: CommandID) { base.hintsStopped(id) }

        func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome {
            source.noteSurveyed(source.memory.regions.wholePages(at: address, byteCount: byteCount).runs)
            return base.hint(id, address: address, byteCount: byteCount)
        }
    }

    /// The sink in place of the ledger.
    private final class BrokenSink: HintSink {
        private let source: BrokenSource
        private let base: any HintSink
        private var regions: RegionTable { source.memory.regions }

        init(_ source: BrokenSource, _ base: any HintSink) {
            self.source = source
            self.base = base
        }

        func hintsOpened(_ id: CommandID) { base.hintsOpened(id) }
        func hintsStarted(_ id: CommandID) { base.hintsStarted(id) }
        func hintsStopped(_ id: CommandID) { base.hintsStopped(id) }

        func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome {
            let runs = regions.wholePages(at: address, byteCount: byteCount).runs
            let pages = runs.reduce(0) { $0 + $1.count }
            switch source.engine {
            case .hintClearsLog:
                for run in runs { source.memory.writeLog.remove(run) }
            case .appliesHintLate:
                guard source.ledger.withAccount({ $0.open == id }) else { return .stale }
                guard !runs.isEmpty else { return .invalid }
                source.ledger.withAccount { $0.counts.reported += pages }
                source.applyLater(runs)
                return .taken(pages: pages, skipped: 0)
            case .harvestsBeforeStop:
                let outcome = base.hint(id, address: address, byteCount: byteCount)
                guard outcome == .stale, source.isStopDue, !runs.isEmpty else { return outcome }
                for run in runs { source.takeFree(run) }
                return .taken(pages: pages, skipped: 0)
            case .ignoresRegionEnds, .roundsOutward:
                return hint(id, coveredPages(address, byteCount) ?? runs, address, byteCount)
            default: break
            }
            return base.hint(id, address: address, byteCount: byteCount)
        }

        /// The pages that a block covers according to the broken engine.
        private func coveredPages(_ address: GuestAddress, _ byteCount: UInt64) -> [PageRun]? {
            guard byteCount > 0, let first = regions.page(containing: address) else { return nil }
            if source.engine == .ignoresRegionEnds {
                // Host memory continues behind the region's end, but guest memory does not.
                let count = min(Int(clamping: byteCount >> UInt64(GuestPage.shift)), regions.pageCount - first.rawValue)
                return count > 0 && address.rawValue % UInt64(GuestPage.size) == 0 ? [PageRun(first: first, count: count)] : nil
            }
            let last = address.advanced(by: byteCount - 1).flatMap { regions.page(containing: $0) }
            return last.map { [PageRun(first: first, count: $0.rawValue - first.rawValue + 1)] }
        }

        private func hint(_ id: CommandID, _ runs: [PageRun], _ address: GuestAddress, _ byteCount: UInt64) -> HintOutcome {
            guard !runs.isEmpty else { return base.hint(id, address: address, byteCount: byteCount) }
            var (pages, skipped) = (0, 0)
            for run in runs {
                guard let spared = source.ledger.withAccount({ $0.hint(run, id) }) else { return .stale }
                pages += run.count
                skipped += spared
            }
            return .taken(pages: pages, skipped: skipped)
        }
    }
#endif
