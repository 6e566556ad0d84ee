// The session records rounds and downtime in its report.
extension SourceSession {
    mutating func record(_ traffic: RoundTraffic, now: ContinuousClock.Instant) {
        report.currentRound.bytes += traffic.bytes
        report.currentRound.normalPages += traffic.normalPages
        report.currentRound.zeroPages += traffic.zeroPages
        report.currentRound.freePages += traffic.freePages
        report.currentRound.clearedPages += traffic.clearedPages
        report.currentRound.duration = roundStart.duration(to: now).inMilliseconds
        let seconds = traffic.duration.inMilliseconds / 1000
        if seconds > 0 {
            report.ram.mbps = Double(traffic.bytes) * 8 / seconds / 1e6
            report.ram.pagesPerSecond = Int(Double(traffic.normalPages + traffic.zeroPages) / seconds)
        }
    }

    mutating func recordHarvest(dirtied: Int, took: Duration, now: ContinuousClock.Instant) {
        planner.recordHarvest(took)
        // The round before the pause is harvested twice: at its end, and again when the guest is paused.
        report.currentRound.dirtiedPages += dirtied
        report.currentRound.harvest += took.inMilliseconds
        report.ram.dirtySyncCount += 1
        let seconds = roundStart.duration(to: now).inMilliseconds / 1000
        if seconds > 0 { report.ram.dirtyPagesRate = Int(Double(report.currentRound.dirtiedPages) / seconds) }
    }

    /// Records what an interrupted round has sent, so that the rounds add up to the totals.
    mutating func recordInterrupted(_ traffic: RoundTraffic, now: ContinuousClock.Instant) {
        record(traffic, now: now)
        let seconds = traffic.duration.inMilliseconds / 1000
        if traffic.bytes > 0, seconds > 0 { interruptedRate = Double(traffic.bytes) / seconds }
    }

    mutating func recordDowntime(of switchOver: StopAndCopy, now: ContinuousClock.Instant) {
        guard switchOver.guestRan else { return }
        let downtime = switchOver.start.duration(to: now)
        report.downtime = Int(downtime.inMilliseconds.rounded(.up))
        report.downtimeMicroseconds = Int((downtime.inMilliseconds * 1000).rounded())
    }
}
