import GuestMemory

// The guest stands still: from when, and how long it may (rule "the pause has a budget").
extension SourceSession {
    /// When the guest goes on here, whatever the destination does; `nil` while the guest runs or a person has paused it, and from commit on.
    public var pauseDeadline: ContinuousClock.Instant? {
        switch state {
        case .pausing, .lastSync, .finishing: runsAtStart ? pauseBudget?.end : nil
        default: nil
        }
    }

    mutating func switchOver(now: ContinuousClock.Instant) -> [Effect] {
        pauseTime = pauseTime ?? now
        pauseBudget = PauseBudget(downtimeLimit: parameters.downtimeLimit, least: parameters.leastPauseBudget, start: now)
        isPausedByUs = true
        state = .pausing
        return [.pauseGuest]
    }

    /// What is known of the switch-over only now.
    mutating func extendPauseBudget(pendingPages: Int) {
        let (rate, isReadBack) = (planner.bytesPerSecond ?? interruptedRate, isDisk)
        if parameters.verifies {
            let pages = hello.regions.pageCount - report.absentPages
            pauseBudget?.addVerification(pages: pages, bytesPerSecond: rate, isReadBack: isReadBack)
        }
        if isRestUnbounded { pauseBudget?.addRest(pages: pendingPages, bytesPerSecond: rate) }
    }
}
