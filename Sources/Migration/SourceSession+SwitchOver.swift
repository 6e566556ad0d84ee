import AerostatGuestMemory

// From the pause until the destination says that it runs the guest; see `StopAndCopy`.
extension SourceSession {
    mutating func switchOver(isRestUnbounded: Bool = false, now: ContinuousClock.Instant) -> [Effect] {
        state = .switchingOver(StopAndCopy(parameters, guestRuns: runsAtStart, isRestUnbounded: isRestUnbounded, now: now))
        return [.pauseGuest]
    }

    mutating func handle(_ event: Event, in switchOver: StopAndCopy, now: ContinuousClock.Instant) -> [Effect] {
        var next = switchOver
        switch (switchOver.step, event) {
        case (.pausing, .paused(let runs)):
            next.guestRan = runs
            next.step = .harvesting
            state = .switchingOver(next)
            // Hints are closed first. A paused guest cannot answer any more; it hears done when it runs again.
            return [.closeHints, .harvest, .finishHints]

        case (.harvesting, .harvested(let dirtied, let pending, let took)):
            if !report.rounds.isEmpty { recordHarvest(dirtied: dirtied, took: took, now: now) }
            startRound(pendingPages: pending, now: now)
            report.currentRound.paused = true
            report.status = .device
            extend(&next.budget, isRestUnbounded: switchOver.isRestUnbounded, pendingPages: pending)
            next.step = .sendingRest
            state = .switchingOver(next)
            return [.beginRound(round), .sendRest(round: round)]

        case (.sendingRest, .restSent(let traffic)):
            record(traffic, now: now)
            next.step = .awaitingReady
            state = .switchingOver(next)
            return [.sendState(verifies: parameters.verifies, guestRuns: switchOver.guestRan)]

        case (.awaitingReady, .peerReady(let ready)):
            if let difference = recordVerification(ready) { return fail(difference, now: now) }
            next.step = .committing
            state = .switchingOver(next)
            return [.sendCommit]

        case (.committing, .commitSent):
            next.step = .awaitingRunning
            state = .switchingOver(next)
            return [.awaitRunning]

        case (.awaitingRunning, .peerRunning):
            recordDowntime(of: switchOver, now: now)
            report.status = .completed
            state = .over
            return [.disarm, .finish(.completed)]

        case (_, .roundInterrupted(let traffic)):
            recordInterrupted(traffic, now: now)
            return []

        case (.awaitingRunning, .failed(.notCommitted(let reason))): return fail(.notCommitted(reason), now: now)
        case (.awaitingRunning, .failed(let failure)): return loseOwnership(failure)
        case (_, .failed(let failure)): return fail(failure, now: now)
        case (_, .cancelRequested): return switchOver.isCommitting ? [] : cancel("cancelled", now: now)
        case (_, .timeoutReached): return []
        case (_, .pauseBudgetSpent):
            guard switchOver.deadline != nil else { return [] }
            return fail(.pauseBudget(switchOver.budget.duration, waitedForReady: switchOver.step == .awaitingReady), now: now)
        default: preconditionFailure("event \(event) in step \(switchOver.step)")
        }
    }

    /// Extends the budget by costs that are known only after the last harvest.
    private func extend(_ budget: inout PauseBudget, isRestUnbounded: Bool, pendingPages: Int) {
        let rate = planner.bytesPerSecond ?? interruptedRate
        if parameters.verifies {
            let pages = hello.regions.pageCount - report.absentPages
            budget.addVerification(pages: pages, bytesPerSecond: rate, isReadBack: isDisk)
        }
        if isRestUnbounded { budget.addRest(pages: pendingPages, bytesPerSecond: rate) }
    }

    /// - Returns: the failure if the two memories differ.
    private mutating func recordVerification(_ ready: Ready) -> Failure? {
        guard parameters.verifies else { return nil }
        report.verify = .init(
            status: ready.differences == 0 ? .passed : .failed,
            pagesCompared: ready.pagesCompared,
            pagesFree: ready.pagesFree,
            differences: ready.differences,
            firstDifference: ready.firstDifference
        )
        return ready.differences > 0 ? .verification(differences: ready.differences, firstPage: ready.firstDifference) : nil
    }

    /// The destination may run the guest but did not say so. The guest stays paused here.
    private mutating func loseOwnership(_ failure: Failure) -> [Effect] {
        let reason = "commit was sent, and then: \(failure)"
        report.status = .unknown
        report.errorDescription = reason
        state = .over
        return [.disarm, .finish(.unknown(reason))]
    }
}
