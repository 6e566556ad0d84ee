package import Migration

/// A migration in words: while it goes on, and at its end.
package struct MigrationText: Sendable {
    let report: MigrationReport

    package init(_ report: MigrationReport) { self.report = report }

    /// Where it stands, in two lines, and what is waited for.
    package var progress: [String] { figures + (report.waitingFor.map { ["  waiting for \($0)"] } ?? []) }

    private var figures: [String] {
        let ram = report.ram
        // Before the first round nothing is known but the guest's size, before the first pages no rate, before its end no dirty rate.
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

    /// How long until the rest fits the downtime limit, as far as the last round tells.
    private var estimate: String {
        let isPaused = report.status == .device || report.status == .pausedByTimeout
        let dirty = isPaused ? 0 : Double(report.ram.dirtyPagesRate) * Double(report.ram.pageSize)
        guard bytesPerSecond > 0 else { return "no estimate yet" }
        guard bytesPerSecond > dirty else { return "the guest writes faster than the link sends" }
        let seconds = Double(report.ram.remaining) / (bytesPerSecond - dirty)
        return "about \(Figures.time(milliseconds: seconds * 1000)) to go"
    }

    /// How it ended, in one line, without where the guest is now.
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

    /// The figures, a line each; none where nothing was sent.
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

    /// Where the guest is, as the source process says it.
    package static func whereabouts(_ state: RunState, after report: MigrationReport, control: String) -> String {
        if state == .postMigrate, let image = report.destination, image.hasPrefix("file:") {
            return "the guest is in the image now; 'aerostat run --restore \(image)' starts it"
        }
        if state == .postMigrate, report.status == .completed, report.downtime == nil {
            return "the guest is at the destination now, paused as it was here"
        }
        if report.status == .unknown, let image = report.destination, image.hasPrefix("file:") { return words(unknown: image, control) }
        return whereabouts(state, after: report.status, control: control)
    }

    private static func words(unknown image: String, _ control: String) -> String {
        """
        the guest is paused here and may be in its image. Look whether \(image.dropFirst("file:".count)) is that of this migration ('aerostat \
        image info'): if it is, end this side with 'aerostat quit --control \(control)'; only if it is not, run the guest here with \
        'aerostat resume --force --control \(control)'
        """
    }

    private static func whereabouts(_ state: RunState, after status: MigrationReport.Status, control: String) -> String {
        switch (state, status) {
        case (_, .unknown):
            """
            the guest is paused here and may be running at the destination. Ask the destination (aerostat status): if the guest runs there, \
            end this side with 'aerostat quit --control \(control)'; only if the destination is gone, run it here with \
            'aerostat resume --force --control \(control)'
            """
        case (.running, .none): "the guest runs in this process"
        // Told so by a person, who vouches for its image.
        case (.running, .completed): "the guest runs here again"
        case (.running, _): "the guest is still running at the source"
        case (.paused, .none): "the guest is paused; 'aerostat resume --control \(control)' runs it"
        case (.paused, _): "the guest is paused at the source; 'aerostat resume --control \(control)' runs it"
        case (.preLaunch, _): "the guest has not been started; 'aerostat resume --control \(control)' runs it"
        case (.inMigrate, _): "this process waits for a guest to come in"
        case (.restoreVM, _): "the guest's memory is being read from its image"
        case (.finishMigrate, _): "the guest is paused at the source, for the switch-over"
        case (.postMigrate, .completed): "the guest now runs at the destination"
        case (.postMigrate, _): "the guest has left this process for the destination"
        case (.shutdown, _): "the guest has shut down"
        case (.guestPanicked, _): "the guest has crashed"
        }
    }
}
