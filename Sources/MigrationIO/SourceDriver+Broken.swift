#if BrokenEngines
    import AerostatGuestMemory
    import AerostatHost
    import AerostatMigration

    // The source driver's ways to break a rule on purpose; see `BrokenEngine`.
    extension SourceDriver {
        /// - Returns: whether hints were opened, wrongly.
        func breakOpening(_ hinting: any FreePageHinting) throws(Interruption) -> Bool {
            if BrokenEngine.isActive(.hintClearsLog) {
                _ = hinting.begin(reportingTo: LogClearingSink(ledger, memory))
                return true
            }
            guard BrokenEngine.isActive(.armsAfterAsking), session.round == 1 else { return false }
            _ = hinting.begin(reportingTo: ledger)
            do throws(SystemError) { try guest.tracker.arm() } catch { throw Interruption(guest: error) }
            return true
        }

        /// Takes the survey's blocks for hints.
        func believe(_ survey: FreePageSurvey) {
            let id = CommandID(rawValue: .max)
            ledger.hintsOpened(id)
            survey.reported.forEachRun {
                _ = ledger.hint(id, address: memory.regions.address(of: $0.first), byteCount: UInt64($0.byteCount))
            }
            ledger.closeHints()
        }

        func clearAfterReading(_ runs: [PageRun]) throws(Interruption) {
            try wait { () throws(Interruption) in link.hasSentAll }
            for run in runs { memory.writeLog.remove(run) }
        }
    }

    /// Hands hints on to the ledger and clears the tracker's log besides.
    private final class LogClearingSink: HintSink {
        private let ledger: PageLedger
        private let memory: GuestRAM

        init(_ ledger: PageLedger, _ memory: GuestRAM) {
            self.ledger = ledger
            self.memory = memory
        }

        func hintsOpened(_ id: CommandID) { ledger.hintsOpened(id) }
        func hintsStarted(_ id: CommandID) { ledger.hintsStarted(id) }
        func hintsStopped(_ id: CommandID) { ledger.hintsStopped(id) }

        func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome {
            for run in memory.regions.wholePages(at: address, byteCount: byteCount).runs { memory.writeLog.remove(run) }
            return ledger.hint(id, address: address, byteCount: byteCount)
        }
    }
#endif
