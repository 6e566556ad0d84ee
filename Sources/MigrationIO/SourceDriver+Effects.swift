import AerostatGuestMemory
import AerostatHost
import AerostatMigration

extension SourceDriver {
    /// Performs one effect.
    /// - Returns: the event that it produced; `nil` if it produced none.
    func perform(_ effect: SourceSession.Effect) throws(Interruption) -> SourceSession.Event? {
        switch effect {
        case .sendHello(let hello):
            try send(.hello(hello))
            return .peerHello(
                try receive("hello", within: migration.limits.greeting) { if case .hello(let hello) = $0 { hello } else { nil } }
            )

        case .countPages:
            try findPresentPages()
            return .counted(presentPages: scratch.count())

        case .openSurvey:
            try openSurvey()
            return nil

        case .waitForSurvey(let until):
            guard let survey else { preconditionFailure("a survey is waited for that was not opened") }
            try waitForAnswer(until: until, isStarted: { survey.progress.isStarted }, isOver: { survey.progress.isOver })
            return .surveyProgress(survey.progress)

        case .releaseBlocks(let until):
            try releaseBlocks(until: until)
            return .released

        case .setUp(let recordsCleared): return .setUp(absentPages: try setUp(recordsCleared: recordsCleared))

        case .openHints:
            // The device opens the ledger for the id before it publishes the id: a guest may answer at once.
            _ = askedDevice.begin(reportingTo: ledger)
            return nil

        case .closeHints:
            guest.hinting?.stop()
            ledger.closeHints()
            return nil

        case .finishHints:
            guest.hinting?.done()
            return nil

        case .waitForHints(let until):
            try waitForAnswer(until: until, isStarted: { ledger.progress.isStarted }, isOver: { ledger.progress.isStopped })
            return .hintProgress(ledger.progress)

        case .beginRound(let round):
            skippedAtRoundStart = ledger.counts.skipped
            migration.owner.roundBegan(round)
            try send(.roundBegin(UInt32(round)))
            return nil

        case .sendRound(let round):
            return .roundSent(try sendRound(round))

        case .sendSample(let round, let pages):
            return .roundSent(try sendRound(round, maximumData: pages))

        case .harvest: return try harvest()

        case .pauseGuest:
            let runs = migration.owner.handOver()
            do throws(GuestError) { try guest.pause() } catch { throw Interruption(guest: error) }
            bytesAtPause = link.bytesSent
            return .paused(guestRan: runs)

        case .sendRest(let round): return .restSent(try sendPending(round: round, isPaced: false))

        case .sendState(let verifies, let runs): return .peerReady(try sendState(verifies: verifies, guestRuns: runs))

        case .sendCommit: return try sendCommit()

        case .awaitRunning:
            try receive("running", within: migration.limits.running) { if case .running = $0 { () } else { nil } }
            return .peerRunning

        case .resumeGuest:
            // Backing out must succeed: a model or KVM guest that was paused a moment ago resumes.
            do throws(GuestError) { try guest.resume() } catch { throw Interruption(guest: error) }
            return nil

        case .sendAbort(let reason):
            // A file is removed even after a failure.
            if !isLinkDead || link.isDisk { sendAbort(reason) }
            return nil

        case .disarm:
            guest.tracker.disarm()
            return nil

        case .finish: preconditionFailure("the loop ends here")
        }
    }

    /// Also wakes when the guest has started to answer, because from then on its rate is watched.
    private func waitForAnswer(
        until deadline: MonotonicClock.Instant,
        isStarted: () -> Bool,
        isOver: () -> Bool
    ) throws(Interruption) {
        let wasStarted = isStarted()
        try wait(until: deadline) { () throws(Interruption) in isOver() || isStarted() != wasStarted }
    }

    private func findPresentPages() throws(Interruption) {
        do throws(SystemError) { try memory.insertPresentPages(into: scratch) } catch { throw Interruption(guest: error) }
    }

    private var askedDevice: any FreePageHinting {
        guard let hinting = guest.hinting else { preconditionFailure("hints are asked of a guest without a balloon") }
        return hinting
    }

    private func openSurvey() throws(Interruption) {
        let doorbell = migration.doorbell
        do throws(SystemError) {
            let survey = try FreePageSurvey(memory, present: scratch) { doorbell.ring() }
            self.survey = survey
            _ = askedDevice.begin(reportingTo: survey)
        } catch {
            throw Interruption(guest: error)
        }
    }

    private func releaseBlocks(until deadline: MonotonicClock.Instant) throws(Interruption) {
        let doorbell = migration.doorbell
        let isHeard = Monitor(false)
        askedDevice.done {
            isHeard.update { $0 = true }
            doorbell.ring()
        }
        try wait(until: deadline) { () throws(Interruption) in isHeard.withLock { $0 } }
    }

    /// Arms the tracker and then records the pages that exist. A page that is populated after the scan was written after arming, so the
    /// tracker sees it.
    private func setUp(recordsCleared: Bool) throws(Interruption) -> Int {
        // The survey's command is over, and more pages may exist now than existed then.
        let survey = self.survey
        self.survey = nil
        if survey != nil { scratch.removeAll() }
        do throws(SystemError) { try guest.tracker.arm() } catch { throw Interruption(guest: error) }
        try findPresentPages()
        let present = ledger.merge(scratch)
        if let survey, recordsCleared { ledger.recordCleared(survey.reported) }
        return memory.pageCount - present
    }

    private func harvest() throws(Interruption) -> SourceSession.Event {
        let start = clock()
        do throws(SystemError) { try guest.tracker.harvest(into: scratch) } catch { throw Interruption(guest: error) }
        let dirtied = ledger.merge(scratch)
        return .harvested(dirtied: dirtied, pending: ledger.pendingPages, took: start.duration(to: clock()))
    }

    /// A commit that was never handed to the link leaves the guest here. A commit that may have arrived does not.
    ///
    /// The link's byte count does not tell which. The other direction may fail first, and its failure be reported first, while the commit
    /// is still on its way (rule "one owner").
    private func sendCommit() throws(Interruption) -> SourceSession.Event {
        try wait { () throws(Interruption) in link.canSend }
        do throws(Interruption) {
            try send(.commit)
            try wait { () throws(Interruption) in link.hasSentAll }
        } catch {
            // The session enters "commit sent" first, so that the failure means that the outcome is unknown.
            pendingFailure = error
        }
        return .commitSent
    }

    /// Tells the destination the reason, if the link still accepts a frame. Nothing depends on it: a closed link means the same.
    private func sendAbort(_ reason: String) {
        let deadline = clock() + migration.limits.farewell
        do throws(TransportError) {
            // An unanswered ring would keep the waits below from sleeping.
            migration.doorbell.answer()
            // A file is given up even while it is busy.
            while !link.canSend, !link.isDisk, clock() < deadline { try link.wait(until: deadline) }
            guard link.canSend || link.isDisk else { return }
            try link.send(.abort(reason), from: nil)
            while !link.hasSentAll, clock() < deadline { try link.wait(until: deadline) }
            // Closing with unread bytes would reset the link and lose the reason.
            link.discardIncoming(until: deadline)
        } catch {
            return
        }
    }
}
