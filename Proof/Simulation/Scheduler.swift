import AerostatHost
import TestSupport

/// Runs all actors on one thread in virtual time. The seed decides which actor runs next wherever real threads could interleave.
final class Scheduler {
    /// One participant that takes turns: a thread of the real engine, a vCPU, a wire, a person.
    final class Actor {
        let name: String
        /// How likely it is to run next, relative to the others.
        let speed: Int
        let coroutine: Coroutine
        /// It sleeps until this time, unless its condition becomes true earlier.
        var deadline: Int?
        var condition: (() -> Bool)?
        var isSleeping = false

        init(name: String, speed: Int, coroutine: Coroutine) {
            self.name = name
            self.speed = speed
            self.coroutine = coroutine
        }
    }

    var random: SeededGenerator
    /// Virtual nanoseconds since the scenario began.
    private(set) var now = 0
    private(set) var steps = 0
    private let stepNanoseconds: Int
    private let pool: CoroutinePool
    private var actors: [Actor] = []
    private(set) var current: Actor?
    /// What happened, line by line; `nil` if nobody asked for a trace.
    private(set) var trace: [String]?

    private static let start = MonotonicClock.now()
    /// The virtual time as the engine reads it.
    var instant: MonotonicClock.Instant { Self.start + .nanoseconds(now) }

    /// - Parameter stepNanoseconds: the average duration of one step.
    init(seed: UInt64, stepNanoseconds: Int, pool: CoroutinePool, traces: Bool) {
        random = SeededGenerator(seed: seed)
        self.stepNanoseconds = stepNanoseconds
        self.pool = pool
        trace = traces ? [] : nil
    }

    func note(_ text: @autoclosure () -> String) {
        guard trace != nil else { return }
        trace?.append("\(now / 1000) us  \(current?.name ?? "-"): \(text())")
    }

    func chance(oneIn count: Int) -> Bool { count > 0 && random.next() % UInt64(count) == 0 }
    func pick(_ range: Range<Int>) -> Int { range.lowerBound + Int(random.next() % UInt64(range.count)) }

    // MARK: For actors

    @discardableResult
    func spawn(_ name: String, speed: Int, _ body: @escaping () -> Void) -> Actor {
        let actor = Actor(name: name, speed: speed, coroutine: pool.take())
        actor.coroutine.start(body)
        actors.append(actor)
        return actor
    }

    /// Lets others run first.
    func yield() { current?.coroutine.suspend() }

    /// Sleeps until a condition holds or a virtual time comes.
    /// - Parameter deadline: in nanoseconds; `nil` waits for the condition alone.
    /// - Returns: false at the deadline.
    @discardableResult
    func sleep(until deadline: Int? = nil, for condition: @escaping () -> Bool = { false }) -> Bool {
        guard let current else { preconditionFailure("only actors sleep") }
        current.condition = condition
        current.deadline = deadline
        current.isSleeping = true
        current.coroutine.suspend()
        current.isSleeping = false
        current.condition = nil
        return condition()
    }

    /// The same, with a deadline on the engine's clock.
    @discardableResult
    func sleep(until deadline: MonotonicClock.Instant?, for condition: @escaping () -> Bool) -> Bool {
        sleep(
            until: deadline.map {
                max(
                    now,
                    Int(Self.start.duration(to: $0).components.seconds) * 1_000_000_000
                        + Int(Self.start.duration(to: $0).components.attoseconds / 1_000_000_000)
                )
            },
            for: condition
        )
    }

    // MARK: Running

    enum End { case done, deadlock([String]), tooManySteps([String]) }

    /// Lets everybody take turns until `isOver`.
    func run(maximumSteps: Int, until isOver: () -> Bool) -> End {
        var remaining = maximumSteps
        while !isOver() {
            guard remaining > 0 else { return .tooManySteps(actors.map(\.name)) }
            remaining -= 1
            guard let actor = next() else { return .deadlock(actors.map(\.name)) }
            resume(actor)
        }
        return .done
    }

    private func resume(_ actor: Actor) {
        steps += 1
        now += pick(0..<2 * stepNanoseconds + 1)
        current = actor
        actor.coroutine.resume()
        current = nil
        if actor.coroutine.isIdle {
            actors.removeAll { $0 === actor }
            pool.giveBack(actor.coroutine)
        }
    }

    private func next() -> Actor? {
        // Bit i says that actor i can run. Make only one pass, because calling the closures is expensive. There are never more than 64
        // actors.
        var ready: UInt64 = 0
        var total = 0
        var earliest: Actor?
        for index in actors.indices {
            let actor = actors[index]
            if isReady(actor) {
                ready |= 1 << UInt64(index)
                total += actor.speed
            } else if let deadline = actor.deadline, deadline < earliest?.deadline ?? .max {
                earliest = actor
            }
        }
        guard ready != 0 else {
            guard let earliest, let deadline = earliest.deadline else { return nil }
            now = max(now, deadline)
            return earliest
        }
        var place = pick(0..<total)
        while true {
            let actor = actors[ready.trailingZeroBitCount]
            place -= actor.speed
            if place < 0 { return actor }
            ready &= ready - 1
        }
    }

    private func isReady(_ actor: Actor) -> Bool {
        guard actor.isSleeping else { return true }
        if let deadline = actor.deadline, now >= deadline { return true }
        return actor.condition?() ?? false
    }
}
