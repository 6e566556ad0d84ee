package import AerostatHost
import CCoroutine
import Synchronization

/// Runs scenarios, on the calling thread.
package final class Simulator {
    private let pool = CoroutinePool()

    package init() {}

    /// Runs one scenario.
    package func run(_ scenario: Scenario, traces: Bool = false) -> SimulationResult {
        trap_notice_announce(scenario.seed)
        do {
            let world = try World(scenario, pool: pool, traces: traces)
            world.run()
            return SimulationResult(failure: world.failure, events: world.events, trace: world.scheduler.trace ?? [])
        } catch {
            preconditionFailure("the simulator itself: \(error)")
        }
    }
}

/// The result of a scenario.
package struct SimulationResult: Sendable {
    package let failure: SimulationFailure?
    package let events: Set<SimulationEvent>
    /// What happened, step by step, if a trace was asked for.
    package let trace: [String]
}

/// Runs the scenarios of many seeds on several threads.
package final class Hunt: Sendable {
    private let seeds: Range<UInt64>
    private let maximumFailures: Int
    private let next: Atomic<UInt64>
    private let done = Atomic<Int>(0)
    private let found = Monitor<[SimulationFailure]>([])

    /// - Parameter maximumFailures: stops after this many failures.
    package init(_ seeds: Range<UInt64>, maximumFailures: Int = 1) {
        self.seeds = seeds
        self.maximumFailures = maximumFailures
        next = Atomic(seeds.lowerBound)
    }

    /// Makes a trap print its seed.
    package static func announceTraps() { trap_notice_install() }

    package var scenarios: Int { done.load(ordering: .relaxed) }
    package var failures: [SimulationFailure] { found.withLock { $0 }.sorted { $0.scenario.seed < $1.scenario.seed } }

    /// Runs to the end of the seeds, a deadline, or enough failures.
    package func run(threads: Int, until deadline: MonotonicClock.Instant? = nil) throws(SystemError) {
        var started: [HostThread] = []
        for number in 0..<threads { started.append(try HostThread(name: "simulator \(number)") { [self] in work(deadline) }) }
        for thread in started { thread.join() }
    }

    private func work(_ deadline: MonotonicClock.Instant?) {
        let simulator = Simulator()
        while found.withLock({ $0.count < maximumFailures }) {
            if let deadline, MonotonicClock.now() >= deadline { return }
            let seed = next.add(1, ordering: .relaxed).oldValue
            guard seed < seeds.upperBound else { return }
            if let failure = simulator.run(Scenario(seed: seed)).failure { found.update { $0.append(failure) } }
            done.add(1, ordering: .relaxed)
        }
    }
}
