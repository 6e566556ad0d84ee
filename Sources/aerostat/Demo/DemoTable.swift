import AerostatGuestMemory
import AerostatMigration

/// Two migrations of the same guest, side by side.
struct DemoTable {
    let without: MigrationReport
    let with: MigrationReport

    var text: String {
        let rows: [(String, (MigrationReport) -> String)] = [
            ("total time", { "\($0.totalTime) ms" }),
            ("downtime", { $0.downtimeMicroseconds.map { "\(($0 + 50) / 100 * 100 / 1000).\(($0 + 50) / 100 % 10) ms" } ?? "-" }),
            ("bytes sent", { "\(Bytes($0.ram.transferred))" }),
            ("pages sent with data", { "\($0.ram.normal)" }),
            ("pages skipped by hints", { "\($0.freePageHints.skippedPages)" }),
            ("bytes that need not travel", { "\(Bytes($0.freePageHints.avoidedBytes))" }),
            ("hinted, and written since", { "\($0.freePageHints.redirtiedPages)" }),
            ("of these, sent as zeros", { "\($0.freePageHints.zeroedPages)" }),
            ("head start for hints", { "\(($0.freePageHints.headStart * 10).rounded() / 10) ms" }),
            ("pages that never existed", { "\($0.absentPages)" }),
            ("rounds", { "\($0.roundCount)" }),
            ("the guest itself counts as used", { $0.guest.map { "\(Bytes(Int(clamping: $0.usedBytes)))" } ?? "-" }),
            ("pages compared", { $0.verify.map { "\($0.pagesCompared)" } ?? "-" }),
            ("pages that differ", { $0.verify.map { "\($0.differences)" } ?? "-" }),
        ]
        let cells = [["", "without hints", "with hints"]] + rows.map { [$0.0, $0.1(without), $0.1(with)] }
        return "\n" + textTable(cells) + "\n"
    }
}

/// Lines with columns: the first stands on the left, the others on the right.
func textTable(_ cells: [[String]]) -> String {
    guard let columns = cells.first?.indices else { return "" }
    let widths = columns.map { column in cells.map { $0[column].count }.max() ?? 0 }
    return cells.map { row in columns.map { row[$0].padded(to: widths[$0], onLeft: $0 > 0) }.joined(separator: "   ") + "\n" }.joined()
}

/// A number of bytes for people, in binary units.
struct Bytes: CustomStringConvertible {
    private let count: Int

    init(_ count: Int) { self.count = count }

    var description: String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(count)
        var unit = 0
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return unit == 0 ? "\(count) bytes" : "\((value * 10).rounded() / 10) \(units[unit])"
    }
}

extension String {
    fileprivate func padded(to width: Int, onLeft: Bool = false) -> String {
        let spaces = String(repeating: " ", count: max(0, width - count))
        return onLeft ? spaces + self : self + spaces
    }
}
