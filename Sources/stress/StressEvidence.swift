import AerostatHost
import AerostatMigration
import AerostatQMP
import Foundation

/// The folder of one round; after a find it holds all that is needed to understand it.
struct StressEvidence {
    let seed: UInt64
    let round: Int
    /// Where finds stay.
    let keep: String
    /// The round's own.
    let folder: String

    /// The command that plays this round again.
    var replay: String { "aerostat stress --seed \(seed) --first \(round) --rounds 1" }

    /// Asks whoever still lives for report and memory, and puts everything where it stays.
    /// - Parameter words: what was found.
    /// - Returns: the folder.
    func keep(_ game: StressRound, _ words: String) async throws -> String {
        let folder = URL(filePath: folder)
        let text = "\(words)\nreplay: \(replay)\n\n" + game.story.joined(separator: "\n") + "\n"
        try OutputFile.write(text, to: folder.appending(path: "find.txt").path)
        for guest in game.guests where guest.child.exitCode == nil {
            // It may be in trouble: what it does not tell is not there.
            if let report = try? await guest.ask("query-migrate") {
                try OutputFile.write(report.text(.indented), to: folder.appending(path: "\(guest.child.name).report.json").path)
            }
            try? await guest.dump(to: folder.appending(path: "\(guest.child.name).ram").path)
        }
        game.end()
        let place = URL(filePath: keep).appending(path: "seed-\(seed)-round-\(round)")
        try FileManager.default.createDirectory(atPath: keep, withIntermediateDirectories: true)
        try? FileManager.default.removeItem(at: place)
        // Sockets have no use any more, and cannot be copied to another file system.
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            let isRest = [".sock", ".link", ".in", ".pulse"].contains { name.hasSuffix($0) }
            if isRest { try? FileManager.default.removeItem(at: folder.appending(path: name)) }
        }
        try FileManager.default.moveItem(at: folder, to: place)
        return place.path
    }
}
