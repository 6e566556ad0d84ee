import AerostatMigration
import AerostatQMP
import Foundation

/// A find: where it is kept, and which check noticed it; `nil` if it was an error and not a check.
struct StressFound {
    let round: Int
    let check: StressFind.Check?
    let folder: String

    var json: JSONValue {
        ["round": .integer(round), "check": .string(check?.rawValue ?? "an error"), "folder": .string(folder)]
    }
}

/// The totals of a hunt.
struct StressTally {
    var rounds = 0
    var completed = 0
    var cancelled = 0
    var failed = 0
    var unknown = 0
    /// How many of the completed ones went into files.
    var images = 0
    /// Guests that ended together with the only process that had them.
    var lost = 0
    var injuries: [StressInjury.Kind: Int] = [:]
    var bytes = 0
    var pagesChecked = 0
    var pagesCompared = 0
    var pagesSkipped = 0
    /// Rounds at whose end the balloon had the size that was asked for, or said why it had not.
    var balloonsReached = 0
    var balloonsExplained = 0
    /// In the largest balloon.
    var pagesBallooned = 0
    /// Rounds at whose end statistics still came.
    var statisticsSeen = 0
    var finds = 0

    var migrations: Int { completed + cancelled + failed + unknown }

    mutating func add(_ status: MigrationReport.Status, toImage: Bool) {
        switch status {
        case .completed:
            completed += 1
            if toImage { images += 1 }
        case .cancelled: cancelled += 1
        case .unknown: unknown += 1
        default: failed += 1
        }
    }

    private var rows: [(String, Int)] {
        [
            ("rounds", rounds), ("migrations completed", completed), ("  of them into images", images),
            ("migrations cancelled", cancelled), ("migrations failed", failed), ("outcome unknown", unknown),
            ("guests that ended with their process", lost),
        ]
            + StressInjury.Kind.allCases.map { ("injury: " + $0.rawValue, injuries[$0] ?? 0) }
            + [
                ("pages checked by the guest", pagesChecked), ("pages compared in dumps", pagesCompared),
                ("pages skipped by hints", pagesSkipped), ("balloons that reached their size", balloonsReached),
                ("balloons that said why not", balloonsExplained), ("pages in the largest balloon", pagesBallooned),
                ("rounds whose statistics went on", statisticsSeen), ("finds", finds),
            ]
    }

    func line(_ elapsed: Duration) -> String {
        "\(rounds) rounds, \(migrations) migrations (\(completed) completed), \(injuries.values.reduce(0, +)) injuries, "
            + "\(Figures.size(bytes)) sent, \(finds) finds, \(elapsed.components.seconds) s"
    }

    func table(_ elapsed: Duration) -> String {
        let all =
            rows.map { ($0.0, Figures.count($0.1)) } + [
                ("bytes sent", "\(Figures.size(bytes))"), ("seconds", "\(elapsed.components.seconds)"),
            ]
        let width = all.map(\.0.count).max() ?? 0
        let figures = all.map(\.1.count).max() ?? 0
        return all.map { name, figure in
            name + String(repeating: " ", count: width - name.count + 3 + figures - figure.count) + figure
        }.joined(separator: "\n")
    }

    func json(seed: UInt64, _ elapsed: Duration, finds places: [StressFound]) -> JSONValue {
        [
            "seed": .string("\(seed)"), "rounds": .integer(rounds), "completed": .integer(completed), "images": .integer(images),
            "cancelled": .integer(cancelled), "failed": .integer(failed), "outcome-unknown": .integer(unknown),
            "guests-ended": .integer(lost),
            "injuries": .object(
                Dictionary(
                    uniqueKeysWithValues: StressInjury.Kind.allCases.map { ("\($0)", .integer(injuries[$0] ?? 0)) }
                )
            ),
            "pages-checked": .integer(pagesChecked), "pages-compared": .integer(pagesCompared), "pages-skipped": .integer(pagesSkipped),
            "balloons-reached": .integer(balloonsReached), "balloons-explained": .integer(balloonsExplained),
            "pages-ballooned": .integer(pagesBallooned), "rounds-with-statistics": .integer(statisticsSeen),
            "bytes": .integer(bytes), "finds": .integer(finds), "evidence": .array(places.map(\.json)),
            "seconds": .integer(Int(elapsed.components.seconds)),
        ]
    }
}
