import AerostatHost
import AerostatMigration
import AerostatQMP
import CommandSupport

/// Shows a migration's progress on standard error. On a terminal its lines are redrawn; otherwise it prints a line for each round and every
/// two seconds.
struct ProgressView {
    private let isShown: Bool
    private let isTerminal = Terminal.isStandardErrorTerminal
    private var drawnLines = 0
    private var lastRound = 0
    private var lastLine: ContinuousClock.Instant?

    /// - Parameter isShown: false if nobody wants to see it.
    init(isShown: Bool = true) { self.isShown = isShown }

    mutating func show(_ report: MigrationReport) {
        // The caller prints the outcome.
        guard isShown, !report.status.isOver else { return }
        let lines = MigrationText(report).progress
        if isTerminal { draw(lines) } else { log(lines, round: report.roundCount) }
    }

    /// Erases the drawn lines.
    mutating func clear() {
        guard drawnLines > 0 else { return }
        // Move up to the first drawn line, then clear to the end of the screen.
        writeToStandardError("\u{1b}[\(drawnLines)A\r\u{1b}[J")
        drawnLines = 0
    }

    private mutating func draw(_ lines: [String]) {
        clear()
        // A line that wraps would take two rows and be counted as one.
        let width = max(Terminal.columns - 1, 1)
        writeToStandardError(lines.map { $0.prefix(width) + "\n" }.joined())
        drawnLines = lines.count
    }

    private mutating func log(_ lines: [String], round: Int) {
        let now = ContinuousClock.now
        if round == lastRound, let lastLine, now - lastLine < .seconds(2) { return }
        (lastRound, lastLine) = (round, now)
        writeToStandardError(lines.map { $0.drop { $0 == " " } }.joined(separator: ", ") + "\n")
    }
}
