import AerostatHost
import AerostatMigration
import AerostatQMP
import Foundation

/// The folder of one round. After a find it holds everything that is needed to understand the find.
struct StressEvidence {
    let seed: UInt64
    let round: Int
    /// The folder that keeps finds.
    let keep: String
    /// The round's own folder.
    let folder: String

    /// The command that repeats this round.
    var replay: String { "aerostat stress --seed \(seed) --first \(round) --rounds 1" }

    /// Asks the processes that still live for report and memory, and moves everything to the folder for finds.
    /// - Parameter words: what was found.
    /// - Returns: the folder.
    func keep(_ game: StressRound, _ words: String) async throws -> String {
        let folder = URL(filePath: folder)
        let text = "\(words)\nreplay: \(replay)\n\n" + game.story.joined(separator: "\n") + "\n"
        try OutputFile.write(text, to: folder.appending(path: "find.txt").path)
        for guest in game.guests where guest.child.exitCode == nil {
            // The process may be in trouble. What it does not answer is left out.
            if let report = try? await guest.ask("query-migrate") {
                try OutputFile.write(report.text(.indented), to: folder.appending(path: "\(guest.child.name).report.json").path)
            }
            try? await guest.dump(to: folder.appending(path: "\(guest.child.name).ram").path)
        }
        game.end()
        let place = URL(filePath: keep).appending(path: "seed-\(seed)-round-\(round)")
        try FileManager.default.createDirectory(atPath: keep, withIntermediateDirectories: true)
        try? FileManager.default.removeItem(at: place)
        // Sockets are useless now, and cannot be copied to another file system.
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            let isRest = [".sock", ".link", ".in", ".pulse"].contains { name.hasSuffix($0) }
            if isRest { try? FileManager.default.removeItem(at: folder.appending(path: name)) }
        }
        try FileManager.default.moveItem(at: folder, to: place)
        return place.path
    }
}
