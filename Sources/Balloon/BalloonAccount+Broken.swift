#if BrokenEngines
    import AerostatGuestMemory
    import AerostatHost

    // A broken engine for the proof: it gives pages back late, when the driver has its buffer again and may already use the pages.
    extension BalloonAccount {
        /// - Returns: whether the engine is active and will give the run back later.
        mutating func postpones(_ engine: BrokenEngine, _ runs: [PageRun]) -> Bool {
            guard BrokenEngine.isActive(engine) else { return false }
            late += runs.map { ($0, 0) }
            return true
        }

        /// Another chain begins. Gives back what was postponed two chains ago.
        mutating func giveBackLate() {
            for index in late.indices { late[index].chains += 1 }
            giveBack(late.filter { $0.chains > 1 }.map(\.run))
            late.removeAll { $0.chains > 1 }
        }
    }
#endif
