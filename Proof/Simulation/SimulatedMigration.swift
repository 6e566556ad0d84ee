import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO

/// One migration in the world: both real drivers, the link between them, and the person who watches.
final class SimulatedMigration {
    let world: World
    let source: Machine
    private(set) var destination: Machine?
    let wire: WireAccount
    private let migration: SourceMigration
    private let sourceEnd: SimulatedEnd
    private let destinationEnd: SimulatedEnd
    private let doorbell: Doorbell
    private let limits: MigrationLimits
    /// What the tap between device and ledger has counted.
    var hints = (commands: 0, reported: 0)
    private var sourceOutcome: SourceSession.Outcome?
    private var destinationOutcome: DestinationMigration.Outcome?
    private var hasArrived = false
    private var firstStep = 0
    private let ranAtStart: Bool
    private let discardedAtStart: Int
    private var wasPausedByTimeout = false
    private var wasPausedByPerson = false

    private var scenario: Scenario { world.scenario }
    private var hasPerson: Bool { scenario[.pauseAt] > 0 || scenario[.resumeAt] > 0 }
    var isOver: Bool { sourceOutcome != nil && destinationOutcome != nil }

    init(_ world: World, from source: Machine) throws {
        self.world = world
        self.source = source
        ranAtStart = !source.isPaused
        discardedAtStart = source.discards.pages
        wire = WireAccount(world, from: source)
        let there = Wire(capacity: world.scenario[.wire])
        let back = Wire(capacity: world.scenario[.wire])
        if world.scenario[.cutAt] > 0 { there.cutAfter = world.scenario[.cutAt] }
        if world.scenario[.stallAt] > 0 {
            there.stallAfter = world.scenario[.stallAt]
            let end = world.scheduler.now + world.scheduler.pick(0..<60) * 1_000_000_000
            there.isStalled = { world.scheduler.now < end }
        }
        if world.scenario[.cutBackAt] > 0 { back.cutAfter = world.scenario[.cutBackAt] }
        sourceEnd = SimulatedEnd(world, outgoing: there, incoming: back, account: wire)
        destinationEnd = SimulatedEnd(world, outgoing: back, incoming: there, account: nil)
        doorbell = try Doorbell()
        var limits = MigrationLimits()
        limits.clock = { world.scheduler.instant }
        self.limits = limits
        let owner = SourceMigration.Owner(
            statusChanged: { status in
                // If the guest has left, or may have left, a person who knows only this side does not resume it.
                if status == .cancelled || status == .failed { source.isTakenOver = false }
                if status == .pausedByTimeout { world.migrations.last?.wasPausedByTimeout = true }
            },
            roundBegan: { world.note("round \($0)") },
            isGuestRunning: { !source.isPaused },
            handOver: {
                world.scheduler.sleep { !source.isPersonBusy }
                source.isTakenOver = true
                return !source.isPaused
            }
        )
        migration = try SourceMigration(guest: source, parameters: Self.parameters(world.scenario), owner: owner, limits: limits)
    }

    private static func parameters(_ scenario: Scenario) -> MigrationParameters {
        var parameters = MigrationParameters()
        parameters.downtimeLimit = .milliseconds(scenario[.downtime])
        // A device that looks at its queues writes to each ring, so the rest never becomes smaller than these pages.
        parameters.smallestRestPages = scenario[.rest] + (scenario[.queues] == 1 ? BalloonRole.allCases.count : 0)
        parameters.samplePages = max(1, scenario[.sample])
        parameters.smallestSampledPages = scenario[.sample] == 0 ? .max : 1
        parameters.smallestSurveyedPages = scenario[.survey] == 0 ? .max : 1
        parameters.usesHints = scenario[.hints] == 1
        parameters.verifies = scenario[.verify] == 1
        parameters.hintGrace = .milliseconds(scenario[.grace])
        parameters.bandwidthLimit = scenario[.bandwidth] == 0 ? nil : scenario[.bandwidth] << 20
        parameters.timeout = scenario[.timeout] == 0 ? nil : .milliseconds(scenario[.timeout])
        parameters.onTimeout = scenario[.pausesOnTimeout] == 1 ? .pause : .cancel
        return parameters
    }

    func disturbSource() { sourceEnd.isDisturbed = true }

    // MARK: Actors

    func start() {
        firstStep = world.scheduler.steps
        world.scheduler.spawn("source", speed: scenario[.source]) { [self] in
            migration.run { (_) throws(TransportError) in sourceEnd }
            sourceEnd.close()
            sourceOutcome = migration.outcome
            world.note("the source ends: \(migration.outcome.map { "\($0)" } ?? "-")")
        }
        world.scheduler.spawn("destination", speed: scenario[.destination]) { [self] in
            destinationOutcome = receive()
            destinationEnd.close()
            world.note("the destination ends: \(destinationOutcome.map { "\($0)" } ?? "-")")
        }
        world.scheduler.spawn("link", speed: scenario[.link]) { [self] in
            while !isOver, !world.isOver {
                let ends = world.scheduler.chance(oneIn: 2) ? [sourceEnd, destinationEnd] : [destinationEnd, sourceEnd]
                if ends.contains(where: { $0.work() }) {
                    world.scheduler.yield()
                } else {
                    world.scheduler.sleep { [self] in ends.contains(where: \.canWork) || isOver || world.isOver }
                }
            }
        }
        spawnPerson()
    }

    private func receive() -> DestinationMigration.Outcome {
        // A destination with another shape refuses the source. So does one that cannot offer what the guest requires.
        let shape = scenario[.shape] == 1 ? try? RegionTable(contiguousBytes: 1 << 20) : nil
        return DestinationMigration(
            destinationEnd,
            shape: shape,
            doorbell: doorbell,
            limits: limits,
            arrived: { [self] runs, _ in
                hasArrived = true
                if let destination { world.guestArrives(at: destination) }
                world.note("the guest arrived" + (runs ? "" : ", paused"))
            },
            makeGuest: { [self] (regions, requirements) throws(GuestError) in
                precondition(requirements == Machine.requirements, "the guest's requirements did not arrive as they were")
                if scenario[.shape] == 2 { throw GuestError("no simulated guests here") }
                do throws(SystemError) {
                    let machine = try Machine(world, regions, isPaused: true)
                    destination = machine
                    return machine
                } catch { throw GuestError("\(error)") }
            }
        ).run()
    }

    private func spawnPerson() {
        let (cancelAt, pauseAt, resumeAt, quitAt) = (scenario[.cancelAt], scenario[.pauseAt], scenario[.resumeAt], scenario[.quitAt])
        let moments = [cancelAt, pauseAt, resumeAt, quitAt].filter { $0 > 0 }.sorted()
        guard !moments.isEmpty else { return }
        world.scheduler.spawn("person", speed: 16) { [self] in
            for moment in moments {
                world.scheduler.sleep { [self] in world.scheduler.steps >= firstStep + moment || isOver }
                if isOver { return }
                if moment == cancelAt {
                    world.note("cancel")
                    migration.cancel()
                    disturbSource()
                }
                if moment == quitAt {
                    world.note("the destination's process shall end")
                    doorbell.ring()
                    destinationEnd.isDisturbed = true
                }
                if moment == pauseAt { person { pausedByPerson() } }
                if moment == resumeAt { person { if source.isPaused { try? source.resume() } } }
            }
        }
    }

    private func pausedByPerson() {
        guard !source.isPaused else { return }
        try? source.pause()
        wasPausedByPerson = true
    }

    /// Performs what the guest's owner does. It waits while the engine has the guest.
    private func person(_ body: () -> Void) {
        guard !source.isTakenOver, world.guest.machine === source, !isOver else { return }
        source.isPersonBusy = true
        body()
        source.isPersonBusy = false
    }

    // MARK: The end

    func checkEnd() {
        guard let outcome = sourceOutcome, let there = destinationOutcome else { return }
        noteEvents(outcome, there)
        switch outcome {
        case .completed:
            if !hasArrived { world.fail(.outcome, "completed, and the guest did not arrive: \(there)") }
            if !source.isPaused { world.fail(.oneOwner, "the source runs the guest after it has gone") }
            checkCompletedReport()
        case .cancelled, .failed:
            if hasArrived { world.fail(.oneOwner, "\(outcome), and the destination has the guest") }
            if let destination, !destination.isPaused { world.fail(.oneOwner, "\(outcome), and the destination runs the guest") }
            if !hasPerson, source.isPaused == ranAtStart { world.fail(.outcome, "\(outcome), and the guest is not as it was") }
        case .unknown:
            if !source.isPaused { world.fail(.oneOwner, "the outcome is unknown, and the source runs the guest") }
        }
        checkReport()
    }

    private func noteEvents(_ outcome: SourceSession.Outcome, _ there: DestinationMigration.Outcome) {
        let report = migration.report
        switch outcome {
        case .completed: world.reached(.completed)
        case .cancelled: world.reached(.cancelled)
        case .failed(let failure):
            world.reached(.failed)
            // The destination may be the side that gave up.
            if "\(failure)".contains("stuck") { world.reached(.linkStalled) }
        case .unknown: world.reached(hasArrived ? .arrivedButSourceDoesNotKnow : .outcomeUnknown)
        }
        switch there {
        case .running(let runs): if !runs { world.reached(.arrivedPaused) }
        case .committedButDead: world.reached(.committedButDead)
        case .notAMigration: world.reached(.notAMigration)
        case .failed: break
        }
        let hints = report.freePageHints
        let reached: [(Bool, SimulationEvent)] = [
            (report.verify != nil, .verified), (world.migrations.count > 1 && hasArrived, .backAgain),
            (hints.droppedBytes > 0, .hintDropped), (hints.redirtiedPages > 0, .freePageWritten), (wire.freePages > 0, .freePageTold),
            (hints.staleBlocks > 0, .staleBlockAtDevice), (hints.commands > 2, .roundsWithHints), (report.absentPages > 0, .absentPage),
            (wasPausedByTimeout, .timeoutPaused), (wasPausedByPerson, .guestPausedByPerson),
        ]
        for (isTrue, event) in reached where isTrue { world.reached(event) }
    }

    /// Checks that pages that were given back and not used again were not populated again, unless they were on the wire when they were
    /// given back. Scenarios with a survey are left out, because it reads what the guest reports and so may read such pages.
    func checkGivenBack() {
        guard scenario[.memoryFile] == 1, scenario[.survey] == 0 else { return }
        let existing = try? PageSet(pageCount: world.regions.pageCount)
        guard let existing, (try? source.memory.insertPresentPages(into: existing)) != nil else { return }
        for page in world.guest.unusedSinceGivenBack(at: source)
        where existing.contains(PageIndex(page)) && !source.discards.read.contains(page) {
            return world.fail(.givenBack, "page \(page) was given back, and somebody has read it")
        }
    }

    /// Pages that were given back meanwhile; each time counts. The report does not say what happened to them, so its sums may differ by
    /// this many.
    private var discarded: Int { source.discards.pages - discardedAtStart }

    private func isAbout(_ count: Int, _ expected: Int) -> Bool { abs(count - expected) <= discarded }

    private func check(_ isRight: Bool, _ text: @autoclosure () -> String) {
        if !isRight { world.fail(.counters, text()) }
    }

    /// Checks what must hold however the migration ended.
    private func checkReport() {
        let report = migration.report
        check(report.status.isOver, "the status at the end is \(report.status)")
        check(report.rounds.reduce(0) { $0 + $1.normalPages } == report.ram.normal, "data pages of the rounds: \(report.rounds)")
        check(report.rounds.reduce(0) { $0 + $1.zeroPages } == report.ram.duplicate, "zero pages of the rounds: \(report.rounds)")
        check(report.ram.normal == wire.normalPages, "\(report.ram.normal) data pages, \(wire.normalPages) on the wire")
        check(report.ram.duplicate == wire.zeroPages, "\(report.ram.duplicate) zero pages, \(wire.zeroPages) on the wire")
        check(report.rounds.reduce(0) { $0 + $1.freePages } == wire.freePages, "\(wire.freePages) free pages on the wire: \(report.rounds)")
        check(report.ram.normalBytes == report.ram.normal * GuestPage.size, "bytes of data pages: \(report.ram)")
        check(report.ram.transferred == sourceEnd.bytesSent, "\(report.ram.transferred) bytes, \(sourceEnd.bytesSent) left")
        check(report.ram.precopyBytes + report.ram.downtimeBytes == report.ram.transferred, "precopy and downtime: \(report.ram)")
        check(report.freePageHints.commands == hints.commands, "\(report.freePageHints.commands) commands, \(hints.commands) begun")
        let cleared = report.freePageHints.reportedPages - hints.reported
        check(
            (0...(scenario[.survey] == 1 ? world.regions.pageCount : 0)).contains(cleared),
            "\(report.freePageHints.reportedPages) reported pages, \(hints.reported) were taken"
        )
        if cleared > 0 { world.reached(.guestCleared) }
        check((0...hints.reported).contains(report.freePageHints.skippedPages), "skipped \(report.freePageHints.skippedPages)")
        check(report.freePageHints.avoidedBytes == report.freePageHints.skippedPages * GuestPage.size, "avoided bytes")
        check(report.rounds.filter(\.paused).count <= 1, "paused rounds: \(report.rounds)")
        for (index, round) in report.rounds.enumerated() { check(round.number == index + 1, "rounds are \(report.rounds.map(\.number))") }
        if let first = report.rounds.first, !first.paused || report.rounds.count == 1, report.status == .completed {
            check(
                isAbout(first.pendingPages + report.absentPages, world.regions.pageCount),
                "first round: \(first), absent \(report.absentPages)"
            )
        }
    }

    /// Checks what must hold in addition for a completed migration.
    private func checkCompletedReport() {
        let report = migration.report
        check(report.status == .completed, "completed with status \(report.status)")
        check(report.ram.remaining == 0, "\(report.ram.remaining) bytes remain")
        check(report.rounds.last?.paused == true, "the last round is not the paused one")
        check(!(scenario[.verify] == 1) || report.verify?.status == .passed, "verification: \(report.verify.map { "\($0)" } ?? "none")")
        let timedOut = scenario[.timeout] > 0
        for (index, round) in report.rounds.enumerated() {
            let done = round.normalPages + round.zeroPages + round.clearedPages
            // There is no harvest after a sample. The next round sends what the sample did not.
            let sample = scenario[.sample]
            let isFull = round.normalPages >= sample || round.zeroPages >= 16 * sample
            let isSample = index == 0 && sample > 0 && isFull && round.dirtiedPages == 0
            if isSample, index + 1 < report.rounds.count {
                world.reached(.sampled)
                check(isAbout(done + report.rounds[index + 1].pendingPages, round.pendingPages), "the sample \(round) lost pages")
                continue
            }
            check(timedOut ? done <= round.pendingPages + discarded : isAbout(done, round.pendingPages), "round \(round) did \(done) pages")
            guard index + 1 < report.rounds.count, !timedOut else { continue }
            let left = report.rounds[index + 1].pendingPages
            check(left <= round.dirtiedPages + discarded, "\(round) leaves \(left)")
        }
        let neverSent = (0..<world.regions.pageCount).filter { wire.neverCarried(PageIndex($0)) }.count
        check(
            neverSent <= report.absentPages + report.freePageHints.skippedPages + discarded,
            "\(neverSent) pages never travelled, \(report.absentPages) were absent, \(report.freePageHints.skippedPages) skipped"
        )
    }
}
