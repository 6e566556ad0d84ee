package import AerostatHost
import Synchronization

/// The work that a device's thread does on the device's state, in steps.
package protocol DeviceWork: Sendable {
    /// Does one short piece of work, under the device's lock. Whoever parks the device waits for it, so it must be short.
    mutating func step() -> DeviceStep
}

package enum DeviceStep: Hashable, Sendable {
    /// There may be more to do.
    case again
    /// There may be more to do, but it can wait for a moment.
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
/// The thread takes the lock once for each step. So whoever has held the lock knows that no step is half done. `Mutex` is a
/// priority-inheriting futex on Linux: a waiter gets it at the next unlock, even if the owner takes it again immediately.
package final class DeviceWorker<State: DeviceWork>: Sendable {
    /// What the thread refers to. It does not refer to the worker, because the worker's deinit ends the thread.
    private final class Core: Sendable {
        let state: Mutex<State>
        let isEnding = Atomic<Bool>(false)
        let steps = Atomic<Int>(0)

        init(_ state: consuming sending State) { self.state = Mutex(state) }
    }

    private let core: Core
    private let thread: HostThread?
    package let doorbell: Doorbell

    /// - Parameter hasThread: a worker without a thread works only when `serve` is called.
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

    /// How often the thread has looked for work. Does not change while the thread sleeps.
    package var steps: Int { core.steps.load(ordering: .relaxed) }

    /// Does one step, for a worker that has no thread.
    /// - Returns: whether there may be more to do.
    package func serve() -> Bool {
        precondition(thread == nil, "the device's thread does this")
        return core.state.withLock { $0.step() }.goesOn
    }
}
