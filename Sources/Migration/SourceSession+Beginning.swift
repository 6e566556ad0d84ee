import AerostatGuestMemory

// Before the first round: the two sides agree, the guest may be surveyed, the tracker is armed.
extension SourceSession {
    mutating func greet(_ peer: Hello, now: ContinuousClock.Instant) -> [Effect] {
        if let refusal = peer.refusal(shape: hello.regions) { return fail(.peer(refusal), now: now) }
        guard peer.session == hello.session else { return fail(.peer("it answered for another migration"), now: now) }
        guard hints.surveys(pages: hello.regions.pageCount) else { return arm() }
        state = .counting
        return [.countPages]
    }

    mutating func beginSurvey(presentPages: Int, now: ContinuousClock.Instant) -> [Effect] {
        guard hints.surveys(pages: presentPages) else { return arm() }
        hasBegun = true
        // A timeout cannot pause the guest before the tracker is armed, so it shortens the wait here.
        let timeLeft = parameters.timeout.map { max(.zero, now.duration(to: startTime + $0)) }
        let grace = min(hints.graceLeft, timeLeft ?? hints.graceLeft)
        let linkRate = parameters.bandwidthLimit.map(Double.init)
        state = .surveying(SurveyPatience(grace: grace, linkRate: linkRate, pagesAtStake: presentPages, now: now))
        return [.openSurvey, .waitForSurvey(until: now + min(AnswerPace.window, grace))]
    }

    mutating func handle(_ progress: SurveyProgress, in survey: SurveyPatience, now: ContinuousClock.Instant) -> [Effect] {
        var survey = survey
        switch survey.observe(progress, now: now) {
        case .wait(let until):
            state = .surveying(survey)
            return [.waitForSurvey(until: until)]
        case .go(let reason): return endSurvey(survey, reason, progress, now: now)
        }
    }

    private mutating func endSurvey(
        _ survey: SurveyPatience,
        _ reason: AnswerPace.Reason,
        _ progress: SurveyProgress,
        now: ContinuousClock.Instant
    ) -> [Effect] {
        if progress.isStarted, !progress.clears {
            // Linux does not report blocks again while it holds them, so it must take them back first.
            state = .releasing(since: survey.start)
            return [.releaseBlocks(until: min(now + AnswerPace.answerTime, survey.end))]
        }
        recordHeldBack(since: survey.start, now: now)
        hints.surveyEnded(progress, reason)
        return [.closeHints] + arm(recordsCleared: progress.clears)
    }

    mutating func arm(recordsCleared: Bool = false) -> [Effect] {
        state = .settingUp
        hasBegun = true
        return [.setUp(recordsCleared: recordsCleared)]
    }

    mutating func beginRounds(absentPages: Int, now: ContinuousClock.Instant) -> [Effect] {
        let present = hello.regions.pageCount - absentPages
        report.absentPages = absentPages
        report.setupTime = Int((startTime.duration(to: now) - hints.heldBack).inMilliseconds.rounded(.up))
        report.status = .active
        guard hints.samples(pages: present) else { return beginRound(isFirst: true, pendingPages: present, now: now) }
        startRound(pendingPages: present, now: now)
        state = .sampling
        return [.beginRound(round), .sendSample(round, pages: parameters.samplePages)]
    }

    mutating func recordHeldBack(since start: ContinuousClock.Instant, now: ContinuousClock.Instant) {
        hints.recordHeldBack(start.duration(to: now))
        report.freePageHints.headStart = hints.heldBack.inMilliseconds
    }
}
