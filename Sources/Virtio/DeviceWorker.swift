package import AerostatHost
import Synchronization

/// What the thread of a device does with its state, one piece after the other.
package protocol DeviceWork: Sendable {
    /// One short piece of work, in one hold of the device's lock: whoever parks the device waits for it.
    mutating func step() -> DeviceStep
}

package enum DeviceStep: Hashable, Sendable {
    /// There may be more to do.
    case again
    /// There may be more to do, and it may wait for a moment.
    case rest
    /// Nothing to do until the doorbell rings.
    case sleep
    /// Nothing to do until the doorbell rings, or this moment has come.
    case sleepUntil(MonotonicClock.Instant)

    /// Whether the thread goes on at once, or nearly so.
    var goesOn: Bool { self == .again || self == .rest }
}

/// A device's state under one lock, and the thread that works on it when a doorbell is rung.
///
/// The thread applies one step for each hold of the lock, so whoever holds it once knows that nothing is in the middle of being done.
/// `Mutex` is a priority-inheriting futex on Linux: whoever waits gets it at the next unlock, also from a thread that takes it again and
/// again.
package final class DeviceWorker<State: DeviceWork>: Sendable {
    /// What the thread holds. Not the worker, whose end ends the thread.
    private final class Core: Sendable {
        let state: Mutex<State>
        let isEnding = Atomic<Bool>(false)
        let steps = Atomic<Int>(0)

        init(_ state: consuming sending State) { self.state = Mutex(state) }
    }

    private let core: Core
    private let thread: HostThread?
    package let doorbell: Doorbell

    /// - Parameter hasThread: a worker without a thread works when `serve` is called.
    package init(name: String, hasThread: Bool, _ state: consuming sending State) throws(SystemError) {
        let core = Core(state)
        let doorbell = try Doorbell()
        self.core = core
        self.doorbell = doorbell
        thread = hasThread ? try HostThread(name: name) { Self.run(core, doorbell) } : nil
    }

    deinit {
        core.isEnding.store(true, ordering: .sequentiallyConsistent)
        doorbell.ring()
        thread?.join()
    }

    private static func run(_ core: Core, _ doorbell: Doorbell) {
        var step = DeviceStep.sleep
        while true {
            if case .sleepUntil(let moment) = step {
                doorbell.wait(timeout: MonotonicClock.now().duration(to: moment))
            } else {
                doorbell.wait()
            }
            step = .again
            while step.goesOn {
                if core.isEnding.load(ordering: .sequentiallyConsistent) { return }
                core.steps.add(1, ordering: .relaxed)
                step = core.state.withLock { $0.step() }
                if step == .rest { HostThread.sleep(for: .milliseconds(1)) }
            }
        }
    }

    package func withState<Result, Failure: Error>(
        _ body: (inout sending State) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try core.state.withLock(body)
    }

    /// How often the thread looked for work. Stands still while it sleeps.
    package var steps: Int { core.steps.load(ordering: .relaxed) }

    /// One step, for a worker that has no thread.
    /// - Returns: whether there may be more.
    package func serve() -> Bool {
        precondition(thread == nil, "the device's thread does this")
        return core.state.withLock { $0.step() }.goesOn
    }
}
