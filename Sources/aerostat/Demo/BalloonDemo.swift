import AerostatControl
import AerostatHost
import AerostatMigration
import AerostatQMP
import ArgumentParser
import CommandSupport
import FoundationEssentials

/// `aerostat demo --balloon`: a guest gives memory up, moves, and takes it back.
struct BalloonDemo {
    /// Of `aerostat run`, for the source.
    let guestArguments: [String]
    /// What the guest has in use, at most.
    let usedBytes: Int
    let verifies: Bool
    /// For the control sockets.
    let folder: String
    /// Prints text for people before there is a result.
    let say: (String) -> Void

    /// How the guest's memory stood at one moment.
    struct Step: Codable, Sendable {
        let step: String
        /// What the guest has.
        let guestBytes: Int
        /// What it costs: the resident memory of its process, all of it.
        let residentBytes: Int
        /// How long it took to come here.
        let milliseconds: Double

        enum CodingKeys: String, CodingKey {
            case step
            case guestBytes = "guest-bytes"
            case residentBytes = "resident-bytes"
            case milliseconds = "time-ms"
        }
    }

    /// What was seen.
    struct Result {
        var steps: [Step] = []
        var report = MigrationReport()
        /// What went wrong, in words.
        var faults: [String] = []
        var isVerified: Bool { report.verify?.status != .failed && faults.isEmpty }
    }

    /// How long the guest may take for a size. A gigabyte takes seconds, even where other work has the processors.
    private static let patience = Duration.seconds(120)

    func run() async throws -> Result {
        var result = Result()
        let destination = try await GuestCommand.start(["--incoming", "tcp:127.0.0.1:0", "--guest", "model"], control: "\(folder)/b.sock")
        defer { destination.kill() }
        let source = try await GuestCommand.start(guestArguments, control: "\(folder)/a.sock")
        defer { source.kill() }

        let whole = try await source.client.balloon().maximum
        try await note("started", source, since: .now, &result)
        // A quarter, and room for what it uses; in whole pages.
        let small = min(whole, max(whole / 4, usedBytes + whole / 8)) & ~4095
        try await resize(source, to: small, "shrunk", &result)
        try await move(source, destination, &result)
        guard result.report.status == .completed else { return result }
        try await resize(destination, to: whole, "grown again", &result)

        let check = try await destination.client.checkGuest()
        if !check.isClean {
            result.faults.append("the guest found \(check.pagesWrong) wrong pages; \(check.brokenInvariants.joined(separator: "; "))")
        }
        if try await destination.client.runState() != .running { result.faults.append("the guest does not run at the destination") }
        await source.quit()
        await destination.quit()
        return result
    }

    private func resize(_ guest: GuestCommand, to bytes: Int, _ name: String, _ result: inout Result) async throws {
        say("the guest is asked to keep \(Bytes(bytes)):\n")
        let start = ContinuousClock.now
        try await guest.client.execute(.balloon, BalloonArguments(keptBytes: bytes))
        var info = try await guest.client.balloon()
        var shown = start
        while info.actual != bytes, start.duration(to: .now) < Self.patience {
            try await Task.sleep(for: .milliseconds(10))
            info = try await guest.client.balloon()
            guard shown.duration(to: .now) > .milliseconds(250) else { continue }
            shown = .now
            say("  it has \(Bytes(info.actual)), its process \(Bytes(guest.residentBytes))\n")
        }
        if info.actual != bytes { result.faults.append("the guest did not reach \(Bytes(bytes)): \(info.waitsFor ?? "nobody knows why")") }
        try await note(name, guest, since: start, &result)
    }

    private func move(_ source: GuestCommand, _ destination: GuestCommand, _ result: inout Result) async throws {
        say("it moves to another process:\n")
        let start = ContinuousClock.now
        _ = try await source.client.execute("migrate-set-parameters", ["verify": .bool(verifies)])
        try await source.client.execute(.migrate, MigrateArguments(uri: destination.incoming ?? ""))
        var view = ProgressView()
        result.report = try await followMigration(on: source.client, at: .watched) { view.show($0) }
        view.clear()
        guard result.report.status == .completed else {
            result.faults.append("the migration \(result.report.status.rawValue): \(result.report.errorDescription ?? "")")
            return
        }
        try await note("moved", destination, since: start, &result)
    }

    private func note(_ name: String, _ guest: GuestCommand, since start: ContinuousClock.Instant, _ result: inout Result) async throws {
        let took = start.duration(to: .now).inMilliseconds
        let has = try await guest.client.balloon().actual
        let step = Step(step: name, guestBytes: has, residentBytes: guest.residentBytes, milliseconds: took)
        say("  \(name): it has \(Bytes(step.guestBytes)), its process \(Bytes(step.residentBytes))\n")
        result.steps.append(step)
    }
}

extension BalloonDemo.Result {
    /// What happened to the guest's memory, step by step, and what the migration did.
    var table: String {
        let steps =
            [["", "the guest has", "resident memory", "took"]]
            + steps.map { step in
                let time = step.milliseconds < 1 ? "-" : Figures.time(milliseconds: step.milliseconds)
                return [step.step, "\(Bytes(step.guestBytes))", "\(Bytes(step.residentBytes))", time]
            }
        var rows: [[String]] = []
        if report.status == .completed {
            rows = [
                ["bytes sent", "\(Bytes(report.ram.transferred))"],
                ["pages sent with data", "\(report.ram.normal)"],
                ["pages in the balloon", "\(report.balloon.balloonedPages)"],
                ["pages that do not exist", "\(report.absentPages)"],
                ["pages skipped by hints", "\(report.freePageHints.skippedPages)"],
                ["downtime", report.downtimeMicroseconds.map { Figures.time(milliseconds: Double($0) / 1000) } ?? "-"],
            ]
            if let verify = report.verify {
                rows += [["pages compared", "\(verify.pagesCompared)"], ["pages that differ", "\(verify.differences)"]]
            }
        }
        return "\n" + textTable(steps) + "\n" + textTable(rows) + (rows.isEmpty ? "" : "\n")
    }

    /// The same, as a document.
    var json: JSONValue {
        get throws {
            [
                "steps": try JSONValue(encoding: steps), "migration": try report.json, "verified": .bool(isVerified),
                "faults": .array(faults.map(JSONValue.string)),
            ]
        }
    }
}

extension GuestCommand {
    /// The resident memory of its process (VmRSS), all kinds together; 0 where the process is gone.
    fileprivate var residentBytes: Int {
        guard let data = try? Data(contentsOf: URL(filePath: "/proc/\(identifier)/status")) else { return 0 }
        for line in String(decoding: data, as: UTF8.self).split(separator: "\n") where line.hasPrefix("VmRSS:") {
            return (Int(line.drop { !$0.isNumber }.prefix { $0.isNumber }) ?? 0) << 10
        }
        return 0
    }
}
