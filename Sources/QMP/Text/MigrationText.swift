package import AerostatMigration

/// Describes a migration in words, while it runs and when it is over.
package struct MigrationText: Sendable {
    let report: MigrationReport

    package init(_ report: MigrationReport) { self.report = report }

    /// How far the migration is, in two lines, and what it waits for.
    package var progress: [String] { figures + (report.waitingFor.map { ["  waiting for \($0)"] } ?? []) }

    private var figures: [String] {
        let ram = report.ram
        // Before the first round only the guest's size is known, before the first pages no rate, and before the round's end no dirty rate.
        guard !report.rounds.isEmpty else { return ["\(stage): a guest of \(Figures.size(ram.total))"] }
        var first = ["\(Figures.size(ram.remaining)) left of \(Figures.size(ram.total))"]
        if bytesPerSecond > 0 { first.append(Figures.rate(bytesPerSecond: bytesPerSecond)) }
        if ram.dirtySyncCount > 0 {
            first.append("dirty \(Figures.size(ram.dirtyPagesRate.multipliedReportingOverflow(by: ram.pageSize).partialValue))/s")
        }
        var second = ["sent \(Figures.size(ram.transferred))"]
        if report.freePageHints.skippedPages > 0 { second.append("hinted away \(Figures.size(report.freePageHints.avoidedBytes))") }
        second.append(Figures.time(milliseconds: Double(report.totalTime)))
        second.append(estimate)
        return [
            "\(stage), round \(report.roundCount): " + first.joined(separator: ", "),
            "  " + second.joined(separator: ", "),
        ]
    }

    private var bytesPerSecond: Double { report.ram.mbps * 1e6 / 8 }

    private var stage: String {
        switch report.status {
        case .none, .setup: "setting up"
        case .active: "moving"
        case .device: "switching over"
        case .pausedByTimeout: "guest paused by the timeout"
        case .cancelling: "cancelling"
        case .completed, .failed, .cancelled, .unknown: report.status.rawValue
        }
    }

    /// Whether enough was sent to measure the link's rate: a whole round, or a lot, or at least a little over some time. Before that most
    /// of the time may have been spent waiting for hints.
    private var isRateKnown: Bool {
        let sent = report.ram.transferred
        return report.ram.dirtySyncCount > 0 || sent >= Self.muchBytes
            || report.totalTime >= Self.someMilliseconds && sent >= Self.littleBytes
    }

    private static let muchBytes = 64 << 20
    /// Twice what is sent to measure the link's rate before the wait for hints.
    private static let littleBytes = 8 << 20
    private static let someMilliseconds = 5000
    /// No rate is known well enough for a longer estimate.
    private static let longestSeconds = 86400.0

    /// How long until the rest fits the downtime limit, judging by the last round.
    private var estimate: String {
        let isPaused = report.status == .device || report.status == .pausedByTimeout
        let dirty = isPaused ? 0 : Double(report.ram.dirtyPagesRate) * Double(report.ram.pageSize)
        guard bytesPerSecond > 0, isPaused || isRateKnown else { return "no estimate yet" }
        guard bytesPerSecond > dirty else { return "the guest writes faster than the link sends" }
        let seconds = Double(report.ram.remaining) / (bytesPerSecond - dirty)
        if seconds > Self.longestSeconds { return "more than a day to go" }
        return "about \(Figures.time(milliseconds: seconds * 1000)) to go"
    }

    /// How the migration ended, in one line. It does not say where the guest is now.
    package var outcome: String {
        let time = Figures.time(milliseconds: Double(report.totalTime))
        let cause = report.errorDescription.map { ": \($0)" } ?? ""
        return switch report.status {
        case .completed: "the migration completed in \(time)"
        case .failed where report.verify?.status == .failed: "verification found a difference; the migration failed after \(time)\(cause)"
        case .failed: "the migration failed after \(time)\(cause)"
        case .cancelled: "the migration was cancelled after \(time)\(cause)"
        case .unknown: "the outcome is unknown after \(time)\(cause)"
        case .none: "there was no migration"
        case .setup, .active, .device, .cancelling, .pausedByTimeout: "the migration is not over"
        }
    }

    /// The figures, one a line. Empty if nothing was sent.
    package var table: [String] {
        guard report.ram.transferred > 0 else { return [] }
        let ram = report.ram
        var rows: [(String, String)] = []
        if let milliseconds = report.downtimeMicroseconds.map({ Double($0) / 1000 }) ?? report.downtime.map(Double.init) {
            let limit = report.isDowntimeLimitExceeded ? report.downtimeLimit : nil
            let excess = limit.map { ": LONGER than the limit of \(Figures.time(milliseconds: Double($0)))" } ?? ""
            rows.append(("downtime", Figures.time(milliseconds: milliseconds) + excess))
        }
        let seconds = Double(report.totalTime) / 1000
        let rate = seconds > 0 ? ", \(Figures.rate(bytesPerSecond: Double(ram.transferred) / seconds)) on average" : ""
        let rounds = report.roundCount == 1 ? "1 round" : "\(Figures.count(report.roundCount)) rounds"
        rows.append(("sent", "\(Figures.size(ram.transferred)) in \(rounds)\(rate)"))
        rows.append(("pages sent", pages(ram.normal)))
        rows.append(("zero pages", pages(ram.duplicate)))
        rows.append(("skipped by hints", pages(report.freePageHints.skippedPages)))
        rows.append(("never populated", pages(report.absentPages)))
        let balloon: [(String, Int)] = [
            ("in the balloon", report.balloon.balloonedPages), ("reported as free", report.balloon.reportedPages),
            ("given back", report.balloon.discardedPages),
        ]
        for (name, count) in balloon where count > 0 { rows.append((name, pages(count))) }
        if let verify = report.verify { rows.append(("verified", Self.words(verify))) }
        return rows.map { "  " + $0.0 + String(repeating: " ", count: 20 - $0.0.count) + $0.1 }
    }

    private func pages(_ count: Int) -> String {
        "\(Figures.count(count)) (\(Figures.size(count.multipliedReportingOverflow(by: report.ram.pageSize).partialValue)))"
    }

    private static func words(_ verify: MigrationReport.Verify) -> String {
        let compared = "\(Figures.count(verify.pagesCompared)) pages compared, \(Figures.count(verify.pagesFree)) free ones left out"
        switch verify.status {
        case .passed: return "\(compared): no difference"
        case .failed:
            let first = verify.firstDifference.map { ", the first is page \($0)" } ?? ""
            return "\(compared): \(Figures.count(verify.differences)) DIFFER\(first)"
        }
    }
}
