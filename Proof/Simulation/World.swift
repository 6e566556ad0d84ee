import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import TestSupport

/// One scenario: the machines, the guest, the links, and the checks.
///
/// Real: `SourceMigration` with `SourceDriver` and `SourceSession`, `PageLedger`, `RoundPlanner`, `HeadStart`; `DestinationMigration` with
/// its session and `ReceivedPages`; the balloon device with its sequencer, the virtio-mmio registers and both sides of the virtqueue in
/// real guest RAM; frames as bytes; presence from the kernel's page tables. Modelled: the wire, the tracker's hardware (its log is the
/// write door's), the guest's kernel, threads (coroutines that take turns) and time.
// @unchecked: a world lives on one thread; closures that the engine wants to be sendable never leave it.
package final class World: @unchecked Sendable {
    let scenario: Scenario
    let scheduler: Scheduler
    let regions: RegionTable
    var guest: SimulatedGuest!
    /// Machines that were made, the source first.
    var machines: [Machine] = []
    var migrations: [SimulatedMigration] = []
    private(set) var failure: SimulationFailure?
    var isOver = false
    /// Whether a bit was flipped already.
    var hasCorrupted = false

    init(_ scenario: Scenario, pool: CoroutinePool, traces: Bool) throws {
        self.scenario = scenario
        scheduler = Scheduler(seed: scenario.seed, stepNanoseconds: scenario[.step], pool: pool, traces: traces)
        regions = Self.regions(scenario)
        let machine = try Machine(self, regions, isPaused: false)
        guest = SimulatedGuest(self, machine)
    }

    /// Memory regions, some with holes between them and some without.
    private static func regions(_ scenario: Scenario) -> RegionTable {
        var table: [(frame: UInt64, pages: UInt64)] = []
        let count = scenario[.regions]
        var frame: UInt64 = 0
        for index in 0..<count {
            let pages = index == 0 ? scenario[.pages] - (count - 1) * (scenario[.pages] / count) : scenario[.pages] / count
            table.append((frame, UInt64(pages)))
            frame += UInt64(pages) + (index % 2 == Int(scenario.seed % 2) ? 3 : 0)
        }
        return regionTable(table)
    }

    /// Adds a line to the trace, which ends with the failure.
    func note(_ text: @autoclosure () -> String) { if failure == nil { scheduler.note(text()) } }

    private(set) var events: Set<SimulationEvent> = []
    func reached(_ event: SimulationEvent) { events.insert(event) }

    /// Records a failure. Only the first one counts.
    func fail(_ check: SimulationFailure.Check, _ text: @autoclosure () -> String) {
        guard failure == nil else { return }
        let found = SimulationFailure(scenario: scenario, check: check, text: text())
        note("FAILURE: \(found)")
        failure = found
    }

    /// Gives others a few turns, mostly none, sometimes many: a thread may lose its core anywhere.
    func perhapsYield(oneIn count: Int = 3) {
        while scheduler.chance(oneIn: count) { scheduler.yield() }
        if scheduler.chance(oneIn: 16 * count) { for _ in 0..<scheduler.pick(1..<40) { scheduler.yield() } }
    }

    /// The same, but sometimes for so long that a round may begin and end meanwhile.
    func stall() {
        perhapsYield(oneIn: 2)
        guard scheduler.chance(oneIn: 4) else { return }
        scheduler.sleep(until: scheduler.now + scheduler.pick(1..<1000) * scenario[.step])
    }

    // MARK: Running

    private static let maximumSteps = 400_000

    func run() {
        var isDone = false
        scheduler.spawn("vCPU", speed: scenario[.vcpu]) { [self] in guest.runVCPU() }
        scheduler.spawn("driver", speed: scenario[.driver]) { [self] in guest.runDriver() }
        if scenario[.giveBackPercent] > 0 { scheduler.spawn("balloon", speed: scenario[.balloon]) { [self] in guest.runBalloon() } }
        if scenario[.statistics] > 0 { scheduler.spawn("statistics", speed: 4) { [self] in pollStatistics() } }
        scheduler.spawn("owner", speed: 4) { [self] in
            for _ in 0..<scenario[.migrations] { if failure == nil { migrate() } }
            isDone = true
        }
        switch scheduler.run(maximumSteps: Self.maximumSteps, until: { [self] in isDone || failure != nil }) {
        case .done: break
        case .deadlock(let names): fail(.progress, "nobody can go on: \(names)")
        case .tooManySteps(let names): fail(.progress, "no end after \(Self.maximumSteps) steps: \(names)")
        }
        if failure == nil { settle() }
        isOver = true
        // Loops that only wait for work see that the scenario is over and return. If a check failed, they may be anywhere, and keep their
        // stacks.
        _ = scheduler.run(maximumSteps: 5_000, until: { false })
        // They and the world refer to each other. Without this, neither the world nor its descriptors would ever be freed.
        migrations = []
        machines = []
        guest = nil
    }

    /// The migrations are over. The guest goes on where it is, and its driver takes back what it holds.
    private func settle() {
        // Twice, because a person may be in the middle of pausing the guest when the migration ends.
        for _ in 0..<2 {
            if guest.machine.isPaused, !guest.machine.isPersonBusy { guest.machine.run() }
            let end = scheduler.run(maximumSteps: Self.maximumSteps, until: { false })
            if case .tooManySteps(let names) = end { return fail(.progress, "the guest does not come to rest: \(names)") }
        }
        askForStatistics()
        guest.checkAtRest()
    }

    /// Checks that the driver answers a request for statistics, however often the guest has moved.
    private func askForStatistics() {
        guard scenario[.statistics] > 0, !guest.machine.isPaused else { return }
        let before = guest.balloon.statisticsGiven
        guest.machine.askForStatistics()
        if case .tooManySteps(let names) = scheduler.run(maximumSteps: Self.maximumSteps, until: { false }) {
            return fail(.progress, "the guest does not come to rest: \(names)")
        }
        if guest.balloon.statisticsGiven == before { fail(.held, "the driver has not got its statistics buffer back") }
    }

    private func pollStatistics() {
        while !isOver, !guest.isWorkDone {
            let next = scheduler.steps + scenario[.statistics] * 50
            scheduler.sleep { [self] in scheduler.steps >= next || isOver || guest.isWorkDone }
            guard !isOver else { return }
            let machine = guest.machine
            machine.awaitDevice()
            if guest.machine === machine, !machine.isDeviceLocked { machine.askForStatistics() }
        }
    }

    private func migrate() {
        let migration: SimulatedMigration
        do { migration = try SimulatedMigration(self, from: guest.machine) } catch {
            preconditionFailure("the simulator itself: \(error)")
        }
        migrations.append(migration)
        migration.start()
        scheduler.sleep { migration.isOver }
        migration.checkEnd()
        // If the outcome is unknown, a person looks at the other side and lets the guest run where it is.
        if guest.machine.isPaused, !guest.machine.isPersonBusy, scheduler.chance(oneIn: 2) { guest.machine.run() }
    }

    /// The guest arrives on a machine, running or paused.
    func guestArrives(at machine: Machine) {
        if let other = machines.first(where: { $0 !== machine && !$0.isPaused }) {
            fail(.oneOwner, "machine \(machine.number) owns the guest while machine \(other.number) runs it")
        }
        guard guest.machine !== machine else { return }
        note("the guest is on machine \(machine.number)")
        if let migration = migrations.last, migration.destination === machine {
            if !migration.wire.hasCommitted { fail(.oneOwner, "the destination took the guest before commit") }
            compareMemories(migration)
        }
        if guest.states.contains(.gone) { reached(.balloonMoved) }
        guest.machine = machine
    }

    /// Compares every page byte by byte: it must be the same, or free and zero.
    private func compareMemories(_ migration: SimulatedMigration) {
        guard let destination = migration.destination else { return }
        migration.checkGivenBack()
        // Pages that do not exist are zero and are not read, because reading would populate memory of a file.
        let digests = [migration.source, destination].map { $0.digests() }
        for index in 0..<regions.pageCount {
            let page = PageIndex(index)
            let lastWord = migration.wire.lastWord[index]
            if lastWord == .free, digests[1][index] != PageDigest.zeroPage {
                return fail(.memory, "\(page), told to be free, holds old data")
            }
            if digests[0][index] == digests[1][index] { continue }
            if guest.mayBeHinted(index), scenario[.poison] == 0, lastWord == .free { continue }
            return fail(
                .memory,
                "\(page) (\(guest.describe(index))) differs; last on the wire: \(lastWord.map { "\($0)" } ?? "nothing")"
            )
        }
    }
}

/// What went wrong, and where.
package struct SimulationFailure: Error, Sendable, CustomStringConvertible {
    package enum Check: String, Sendable, CaseIterable {
        /// A page at the destination differs from the source's.
        case memory
        /// Two processes own the guest, or none.
        case oneOwner
        /// The guest did not hear done, or a buffer did not come back.
        case held
        /// The report does not add up.
        case counters
        /// The guest's memory is not what it wrote.
        case content
        /// A side waits for ever or does not finish.
        case progress
        /// The reported outcome is not what happened.
        case outcome
        /// Memory that was given back was populated again, although nobody uses it.
        case givenBack
    }

    package var scenario: Scenario
    package let check: Check
    package let text: String

    package var description: String { "\(check): \(text)" }
}
