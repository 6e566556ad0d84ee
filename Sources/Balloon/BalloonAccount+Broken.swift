#if BrokenEngines
    import AerostatGuestMemory
    import AerostatHost

    // Pages that are given back when their buffer has long been given back, and the guest may use them again.
    extension BalloonAccount {
        /// - Returns: whether the engine is at work, and gives the run back later.
        mutating func postpones(_ engine: BrokenEngine, _ runs: [PageRun]) -> Bool {
            guard BrokenEngine.isActive(engine) else { return false }
            late += runs.map { ($0, 0) }
            return true
        }

        /// Another chain begins: what is two chains old is given back now.
        mutating func giveBackLate() {
            for index in late.indices { late[index].chains += 1 }
            giveBack(late.filter { $0.chains > 1 }.map(\.run))
            late.removeAll { $0.chains > 1 }
        }
    }
#endif
