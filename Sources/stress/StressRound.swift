import AerostatMigration
import AerostatQMP
import Foundation

/// One round: a guest, its migrations, and what must be true after each of them.
final class StressRound {
    let plan: StressPlan
    /// The round's own folder. All files of the round are there.
    let folder: String
    var tally = StressTally()
    /// What was asked of the guest's balloon.
    private var wanted = StressWanted()
    /// All processes ever started, so that none is left.
    private(set) var guests: [StressGuest] = []
    /// What happened, for the reader of a find.
    private(set) var story: [String] = []

    init(_ plan: StressPlan, in folder: String) {
        self.plan = plan
        self.folder = folder
    }

    /// - Throws: `StressFind`. Any other error counts as a find too, because nothing here may fail on its own.
    func run() async throws {
        tell("seed \(plan.seed): aerostat run " + plan.guest.arguments.joined(separator: " "))
        var place: StressGuest? = try await start("g0", plan.guest.arguments)
        var rushed = false
        for (index, hop) in plan.hops.enumerated() {
            guard let here = place else { break }
            if !rushed {
                try await expectWhole(here)
                try await expectWishes(here, wanted)
            }
            tell("hop \(index + 1): \(hop.route.rawValue) \(hop.arguments.joined(separator: " ")); " + "\(hop.placeArguments)")
            for injury in hop.injuries { tell("  planned: \(injury)") }
            for wish in hop.wishes { tell("  wish: \(wish)") }
            for wish in hop.wishes where wish.milliseconds == nil {
                _ = try await here.ask(wish.command.name, wish.command.arguments)
                wanted.grant(wish.kind)
            }
            place = hop.route == .image ? try await moveThroughImage(here, hop, index + 1) : try await move(here, hop, index + 1)
            rushed = hop.isRushed
            if place == nil { tally.lost += 1 }
        }
        if let place {
            try await expectWhole(place)
            try await expectWishes(place, wanted)
            try await expectBalloon(place, wanted)
            try await place.quit()
        }
        try expectNothingLeft()
    }

    func tell(_ text: String) { story.append(text) }

    func start(_ name: String, _ arguments: [String]) async throws -> StressGuest {
        let guest = try await StressGuest.start(name, arguments, pulse: plan.guest.pulse, in: folder)
        guests.append(guest)
        return guest
    }

    func end() { for guest in guests { guest.child.signal(SIGKILL) } }

    // MARK: From process to process

    /// - Returns: where the guest is now; `nil` if it ended with its process.
    private func move(_ source: StressGuest, _ hop: StressHop, _ number: Int) async throws -> StressGuest? {
        let place = hop.route == .unix ? "unix:\(folder)/g\(number).in" : "tcp:127.0.0.1:0"
        let destination = try await start("g\(number)", ["--incoming", place] + hop.placeArguments)
        let attempt = StressAttempt(hop, from: source, to: destination, wanted: wanted, in: folder)
        let ending = try await attempt.run("h\(number)", to: destination.incoming!)
        wanted = attempt.wanted
        try note(ending, hop)
        let there = try await settled(destination, ending, attempt)
        tally.bytes += try attempt.end()
        let here = try await state(of: source, after: ending)
        tell("  source \(here.map(\.rawValue) ?? "ended"), destination \(there.map(\.rawValue) ?? "ended")")
        try await expectAgreement(ending, source, here, destination, there)
        try expectReport(here == nil ? nil : try await source.report(), ending)

        if there == .running || there == .paused || there == .preLaunch {
            if here != nil { try await source.expectNoPulse() }
            if ending.did(\.endsDestination) {
                // The guest arrived and ends with the destination's process, which may answer for another moment.
                _ = try await destination.child.end()
                try expectEnd(of: destination, ending.did(.killDestination), ending.did(.terminateDestination))
                if here != nil { try await source.quit() }
                return nil
            }
            if there != .running { try await destination.expectNoPulse() }
            if hop.compares, there != .running, here != nil { try await compare(source, destination, hop) }
            if here != nil { try await source.quit() }
            return try await going(destination, there)
        }
        if there == .inMigrate { try await destination.quit() }
        guard let here, here != .postMigrate else {
            if here != nil { try await source.quit() }
            return nil
        }
        return try await going(source, here, force: ending.code == 3)
    }

    /// Waits until the destination has the guest, has ended, or has demonstrably received nothing.
    private func settled(_ destination: StressGuest, _ ending: StressAttempt.Ending, _ attempt: StressAttempt) async throws -> RunState? {
        try await eventually("\(destination.child.name) has the guest or ends, after exit \(ending.code) and \(ending.fired)") {
            switch try await destination.state() {
            case .inMigrate?:
                let heardNothing = attempt.reachedDestination == 0 || destination.child.log.contains("still waiting")
                return ending.code != 0 && heardNothing ? .some(.inMigrate) : nil
            case let state: return .some(state)
            }
        }
    }

    /// A source that was asked to end may answer for another moment, so its end is waited for first.
    private func state(of source: StressGuest, after ending: StressAttempt.Ending) async throws -> RunState? {
        if ending.did(\.endsSource) { _ = try await source.child.end() }
        return try await source.state()
    }

    /// Lets a paused guest run.
    func going(_ guest: StressGuest, _ state: RunState?, force: Bool = false) async throws -> StressGuest {
        if state != .running { _ = try await guest.ask("cont", force ? ["force": true] : [:]) }
        return guest
    }

    // MARK: Into a file and back

    private func moveThroughImage(_ source: StressGuest, _ hop: StressHop, _ number: Int) async throws -> StressGuest? {
        let path = "\(folder)/i\(number).image"
        let attempt = StressAttempt(hop, from: source, to: nil, wanted: wanted, in: folder)
        let ending = try await attempt.run("h\(number)", to: "file:\(path)")
        wanted = attempt.wanted
        try note(ending, hop)
        let here = try await state(of: source, after: ending)
        let isThere = FileManager.default.fileExists(atPath: path)
        tell("  source \(here.map(\.rawValue) ?? "ended"), \(isThere ? "the image is there" : "no image")")
        try await expectAgreement(ending, source, here, imageIsThere: isThere)
        try expectReport(here == nil ? nil : try await source.report(), ending)
        if !ending.did(.killSource), FileManager.default.fileExists(atPath: path + ".partial") {
            throw StressFind(.answers, "\(path).partial is left, and nobody was killed")
        }
        guard isThere else { return try await here.asyncMap { try await self.going(source, $0) } }
        tally.bytes += ending.report?.ram.transferred ?? 0
        if here != nil { try await source.expectNoPulse() }
        let destination = try await start("g\(number)", ["--restore", "file:\(path)"] + hop.placeArguments)
        let there = try await destination.state()
        if hop.compares, here != nil { try await compare(source, destination, hop) }
        if here != nil { try await source.quit() }
        return try await going(destination, there)
    }

    // MARK: The end

    private func expectNothingLeft() throws {
        for guest in guests where guest.child.exitCode == nil { throw StressFind(.ending, "\(guest.child.name) is still there") }
    }
}

extension Optional {
    fileprivate func asyncMap<Result>(_ body: (Wrapped) async throws -> Result) async throws -> Result? {
        guard let self else { return nil }
        return try await body(self)
    }
}
