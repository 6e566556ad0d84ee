/// Simplifies a failing scenario number by number, as long as the same check still fails.
package struct Shrinker {
    private let simulator: Simulator
    /// Orders of steps that are tried for each simpler scenario, because a smaller world needs another order to fail.
    private static let attempts: UInt64 = 40

    package init(_ simulator: Simulator) { self.simulator = simulator }

    package func shrink(_ failure: SimulationFailure) -> SimulationFailure {
        var best = failure
        var isChanged = true
        while isChanged {
            isChanged = false
            for knob in Scenario.Knob.allCases {
                for value in plainer(best.scenario[knob], knob) {
                    var plainer = best.scenario
                    plainer[knob] = value
                    guard let found = fails(plainer, best.check) else { continue }
                    best = found
                    isChanged = true
                    break
                }
            }
        }
        return best
    }

    private func plainer(_ value: Int, _ knob: Scenario.Knob) -> [Int] {
        guard value != knob.plain else { return [] }
        let half = knob.valid((value + knob.plain) / 2)
        return half == value || half == knob.plain ? [knob.plain] : [knob.plain, half]
    }

    private func fails(_ scenario: Scenario, _ check: SimulationFailure.Check) -> SimulationFailure? {
        if let failure = simulator.run(scenario).failure, failure.check == check { return failure }
        for seed in 0..<Self.attempts {
            if let failure = simulator.run(scenario.reseeded(seed)).failure, failure.check == check { return failure }
        }
        return nil
    }
}
