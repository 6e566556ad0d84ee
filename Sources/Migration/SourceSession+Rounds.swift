// The rounds of precopy, while the guest runs.
extension SourceSession {
    mutating func endSample(_ traffic: RoundTraffic, now: ContinuousClock.Instant) -> [Effect] {
        // A sample of zero pages measures only how fast we scan memory, not the link.
        if traffic.normalPages >= parameters.samplePages { finishRound(traffic, now: now) } else { record(traffic, now: now) }
        // There is no harvest here. Pages written since are found at the end of the next round.
        return beginRound(isFirst: true, pendingPages: traffic.pendingPages, now: now)
    }

    /// - Parameter isFirst: whether this is the round that sends all pages that exist. It is held back for hints.
    mutating func beginRound(isFirst: Bool, pendingPages: Int, now: ContinuousClock.Instant) -> [Effect] {
        startRound(pendingPages: pendingPages, now: now)
        let begin: [Effect] = [.beginRound(round)] + (hints.asks ? [.openHints] : [])
        guard hints.asks, isFirst else {
            state = .sending
            return begin + [.sendRound(round)]
        }
        let linkRate = parameters.bandwidthLimit.map(Double.init) ?? planner.bytesPerSecond
        state = .headStart(HeadStart(grace: hints.graceLeft, linkRate: linkRate, now: now))
        return begin + [.waitForHints(until: now + min(AnswerPace.window, hints.graceLeft))]
    }

    mutating func handle(_ progress: HintProgress, in headStart: HeadStart, now: ContinuousClock.Instant) -> [Effect] {
        var headStart = headStart
        switch headStart.observe(progress, now: now) {
        case .wait(let until):
            state = .headStart(headStart)
            return [.waitForHints(until: until)]
        case .go:
            recordHeldBack(since: headStart.start, now: now)
            state = .sending
            return [.sendRound(round)]
        }
    }

    mutating func startRound(pendingPages: Int, now: ContinuousClock.Instant) {
        roundStart = now
        round += 1
        var entry = MigrationReport.Round(number: round, start: startTime.duration(to: now).inMilliseconds)
        entry.pendingPages = pendingPages
        report.append(entry)
    }

    /// Records a complete round, which measures the link's rate.
    mutating func finishRound(_ traffic: RoundTraffic, now: ContinuousClock.Instant) {
        record(traffic, now: now)
        planner.recordLinkCost(traffic.linkCost)
        planner.recordRound(bytes: traffic.bytes, duration: traffic.duration)
    }

    mutating func endRound(dirtied: Int, pending: Int, took: Duration, now: ContinuousClock.Instant) -> [Effect] {
        recordHarvest(dirtied: dirtied, took: took, now: now)
        report.expectedDowntime = Int(planner.expectedDowntime(pendingPages: pending).inMilliseconds.rounded(.up))
        let ended = report.currentRound
        let verdict = planner.decide(
            pendingPages: pending,
            sentPages: ended.normalPages + ended.zeroPages,
            timeLeft: parameters.timeout.map { now.duration(to: startTime + $0) }
        )
        switch verdict {
        case .switchOver: return switchOver(now: now)
        case .anotherRound: return beginRound(isFirst: false, pendingPages: pending, now: now)
        }
    }
}
