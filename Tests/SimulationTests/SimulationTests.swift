import AerostatHost
import SimulationSupport
import Testing

@Suite("Simulation")
struct SimulationTests {
    @Test func `No page is lost in 60000 scenarios`() throws {
        let hunt = Hunt(1..<60_001)
        try hunt.run(threads: 2)
        for failure in hunt.failures { Issue.record("tools/simulate --seed \(failure.scenario.seed): \(failure)") }
        #expect(hunt.scenarios == 60_000)
    }

    /// What was found once, in its smallest form.
    @Test(arguments: [
        // A page hinted while the sender held it back, at a timeout that pauses, was not counted as skipped.
        "seed=38 ops=2 bandwidth=1 timeout=1 pausesOnTimeout=1",
        // Linux's driver keeps the id that it answers in one word: old hints came under a new id.
        "seed=35 ops=19 shrinkPercent=10 oneWord=1 destination=16 step=6500 hintStall=1 hintDelay=1375 chunk=9",
    ]
    )
    func `What was wrong stays right`(_ text: String) throws {
        let failure = Simulator().run(try #require(Scenario(text))).failure
        #expect(failure == nil, "tools/simulate --scenario '\(text)'")
    }

    @Test func `A seed is a scenario: the same steps each time`() {
        for seed in UInt64(1)...40 {
            let first = Simulator().run(Scenario(seed: seed), traces: true)
            let second = Simulator().run(Scenario(seed: seed), traces: true)
            #expect(first.trace == second.trace && !first.trace.isEmpty, "seed \(seed)")
        }
    }

    @Test func `A scenario that was printed is the same when it is typed`() {
        for seed in UInt64(1)...500 { #expect(Scenario(Scenario(seed: seed).description) == Scenario(seed: seed)) }
        #expect(Scenario("pages=x") == nil && Scenario("pages") == nil && Scenario("nonsense=1") == nil)
    }

    @Test func `The scenarios reach every end, and every kind of day`() {
        let simulator = Simulator()
        let seen = (UInt64(1)...3000).reduce(into: Set<SimulationEvent>()) { $0.formUnion(simulator.run(Scenario(seed: $1)).events) }
        #expect(Set(SimulationEvent.allCases).subtracting(seen) == [])
    }
}
