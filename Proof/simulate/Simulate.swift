import AerostatHost
import ArgumentParser
import SimulationSupport

#if BrokenEngines
    import Sabotage
#endif

@main
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Runs seeded scenarios of the whole engine on one thread in virtual time, and looks for a lost page.",
        discussion: """
            tools/simulate                        60000 scenarios
            tools/simulate --minutes 10           as many as fit
            tools/simulate --seed 42              one, with its trace where it fails
            tools/simulate --broken               every broken engine, and what caught it
            """
    )

    @Option(help: "Replays one seed.")
    var seed: UInt64?

    @Option(help: "Replays a scenario as it was printed.")
    var scenario: String?

    @Option(help: "How many scenarios are run.")
    var count: UInt64 = 60_000

    @Option(help: "The first of them.")
    var first: UInt64 = 1

    @Option(help: "Goes on for so long instead.")
    var minutes: Int?

    @Option(help: "Threads, each with scenarios of its own.")
    var threads = 2

    @Flag(help: "Prints what happened, whether it fails or not.")
    var trace = false

    @Flag(help: "Prints the events that the scenarios do not reach.")
    var events = false

    @Flag(help: "Prints the names of the broken engines; none in a build without them.")
    var listBroken = false

    @Option(help: "Breaks a rule on purpose; only in a build with the trait BrokenEngines.")
    var broken: String?

    @Flag(help: "Prints one row of the table of broken engines.")
    var row = false

    func run() throws {
        Hunt.announceTraps()
        if listBroken { return listBrokenEngines() }
        if let broken { try activate(broken) }
        if let text = scenario {
            guard let scenario = Scenario(text) else { throw ValidationError("that is no scenario: \(text)") }
            return try replay(scenario)
        }
        if let seed { return try replay(Scenario(seed: seed)) }
        if events { return printUnreachedEvents() }
        row ? try printRow() : try hunt()
    }

    /// One scenario; where it fails, the smallest that still does, and what happened in it.
    private func replay(_ scenario: Scenario) throws {
        let simulator = Simulator()
        let result = simulator.run(scenario, traces: trace)
        if trace { print(result.trace.joined(separator: "\n")) }
        guard let failure = result.failure else { return print("seed \(scenario.seed): nothing is wrong") }
        print("seed \(scenario.seed): \(failure)")
        try explain(failure, simulator)
    }

    private func explain(_ failure: SimulationFailure, _ simulator: Simulator) throws {
        let breaking = broken.map { " --broken \($0)" } ?? ""
        print("replay with: tools/simulate --seed \(failure.scenario.seed)\(breaking)")
        let smallest = Shrinker(simulator).shrink(failure)
        print("shrunk to:   tools/simulate --scenario '\(smallest.scenario)'\(breaking)")
        print(simulator.run(smallest.scenario, traces: true).trace.joined(separator: "\n"))
        throw ExitCode(1)
    }

    private func printUnreachedEvents() {
        let simulator = Simulator()
        let reached = (first..<first + count).reduce(into: Set<SimulationEvent>()) {
            $0.formUnion(simulator.run(Scenario(seed: $1)).events)
        }
        print(Set(SimulationEvent.allCases).subtracting(reached).map(\.rawValue).sorted().joined(separator: "\n"))
    }

    private func hunt() throws {
        let start = MonotonicClock.now()
        let hunt = Hunt(first..<(minutes == nil ? first + count : .max))
        try hunt.run(threads: threads, until: minutes.map { start + .seconds($0 * 60) })
        let seconds = start.duration(to: MonotonicClock.now()).inSeconds
        print("\(hunt.scenarios) scenarios in \(Int(seconds)) s, \(Int(Double(hunt.scenarios) / seconds * 60)) a minute")
        guard let failure = hunt.failures.first else { return print("nothing is wrong") }
        print("seed \(failure.scenario.seed): \(failure)")
        try explain(failure, Simulator())
    }
}

extension Simulate {
    #if BrokenEngines
        private func activate(_ name: String) throws {
            guard let engine = BrokenEngine(rawValue: name) else { throw ValidationError("there is no broken engine \(name)") }
            Sabotage.install(engine)
        }

        private func listBrokenEngines() { for engine in BrokenEngine.allCases { print(engine.rawValue) } }

        /// "name | rule | check | seed | scenarios"
        private func printRow() throws {
            guard let broken, let engine = BrokenEngine(rawValue: broken) else { throw ValidationError("a row is of a broken engine") }
            if let reason = engine.simulatorBlindness { return print("\(engine) | \(engine.rule) | not to be seen: \(reason) | - | -") }
            let hunt = Hunt(first..<first + count)
            try hunt.run(threads: threads)
            guard let failure = hunt.failures.first else {
                print("\(engine) | \(engine.rule) | NOT CAUGHT | - | \(hunt.scenarios)")
                throw ExitCode(1)
            }
            print("\(engine) | \(engine.rule) | \(failure.check) | \(failure.scenario.seed) | \(hunt.scenarios)")
        }
    #else
        private func activate(_ name: String) throws {
            throw ValidationError("broken engines are only in a build with the trait BrokenEngines: tools/simulate --broken")
        }

        private func listBrokenEngines() {}
        private func printRow() throws { throw ValidationError("there are no broken engines in this build") }
    #endif
}
