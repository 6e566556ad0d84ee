// How a migration ends before commit: the guest stays here, as it was.
extension SourceSession {
    mutating func timeOut(now: ContinuousClock.Instant) -> [Effect] {
        switch parameters.onTimeout {
        case .cancel:
            return cancel(
                "the timeout of \(parameters.timeout.map { "\($0)" } ?? "") passed before the guest could be switched over",
                now: now
            )
        case .pause:
            // The pages that the round has not sent stay pending, so nothing is lost when we leave it.
            report.status = .pausedByTimeout
            return switchOver(isRestUnbounded: true, now: now)
        }
    }

    mutating func cancel(_ reason: String, now: ContinuousClock.Instant) -> [Effect] {
        report.status = .cancelled
        report.errorDescription = reason
        return backOut(reason, .cancelled(reason), now: now)
    }

    mutating func fail(_ failure: Failure, now: ContinuousClock.Instant) -> [Effect] {
        report.status = .failed
        report.errorDescription = "\(failure)"
        return backOut("\(failure)", .failed(failure), now: now)
    }

    /// Ends hints (rule "done always comes"), lets the guest run as it did, and tells the destination why. The guest is resumed before
    /// anything that may wait.
    private mutating func backOut(_ reason: String, _ outcome: Outcome, now: ContinuousClock.Instant) -> [Effect] {
        var effects: [Effect] = hasBegun ? [.closeHints, .finishHints] : []
        if case .switchingOver(let switchOver) = state {
            recordDowntime(of: switchOver, now: now)
            if switchOver.guestRan { effects.append(.resumeGuest) }
        }
        state = .over
        if hasBegun { effects.append(.disarm) }
        return effects + [.sendAbort(reason), .finish(outcome)]
    }
}
