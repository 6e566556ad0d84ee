import AerostatHost
import CLinux
import Glibc
import Synchronization

/// The threads that run the vCPUs. Lets them run, makes them stand outside the guest, and ends them.
///
/// Whoever wants a vCPU out of the guest sets `attention`, then the vCPU's immediate-exit flag, then sends its thread a signal. The thread
/// is in one of three places: in the guest (the signal brings it out), about to enter (the flag makes it return at once), or before that
/// (it sees `attention`, because it clears the flag before it looks).
final class VCPUThreads: Sendable {
    private let vcpus: [VCPU]
    private let bus: DeviceBus
    private let serveFullRing: @Sendable () -> Void
    private let ended: @Sendable (MicroVM.Ending) -> Void
    private let attention = Atomic<Bool>(true)
    private let state: Monitor<State>

    private struct State {
        var mustStand = true
        var ends = false
        /// How the guest ended on its own. It stands from then on.
        var ending: MicroVM.Ending?
        var standing = 0
        var threads: [HostThread] = []
        /// For signals, by vCPU; `nil` while the thread does not run.
        var handles: [pthread_t?]
        /// Counts the requests for every vCPU to leave the guest once. Each vCPU records the last one that it has obeyed.
        var kicks = 0
        var obeyedKicks: [Int]
    }

    /// - Parameters:
    ///   - serveFullRing: called on the thread of a vCPU that cannot continue before the rings of written pages are emptied.
    ///   - ended: called once, on a vCPU's thread, when the guest has ended on its own.
    init(
        _ vcpus: [VCPU],
        _ bus: DeviceBus,
        serveFullRing: @escaping @Sendable () -> Void,
        ended: @escaping @Sendable (MicroVM.Ending) -> Void
    ) {
        self.vcpus = vcpus
        self.bus = bus
        self.serveFullRing = serveFullRing
        self.ended = ended
        state = Monitor(State(handles: Array(repeating: nil, count: vcpus.count), obeyedKicks: Array(repeating: 0, count: vcpus.count)))
    }

    // MARK: Their owner

    /// Starts the threads, which stand at first. Skips those that run already: an earlier attempt may have started only some.
    func start() throws(SystemError) {
        for vcpu in vcpus.dropFirst(state.withLock { $0.threads.count }) {
            state.withLock { $0.standing += 1 }
            do throws(SystemError) {
                let thread = try HostThread(name: "vcpu \(vcpu.index)") { [self] in run(vcpu) }
                state.withLock { $0.threads.append(thread) }
            } catch {
                state.withLock { $0.standing -= 1 }
                throw error
            }
        }
    }

    func letGo() {
        state.update { state in
            guard state.ending == nil else { return }
            state.mustStand = false
            updateAttention(state)
        }
    }

    /// When it returns, every vCPU is out of the guest, and what it had begun is complete.
    func standStill() {
        state.update { state in
            state.mustStand = true
            poke(state)
        }
        _ = state.wait { $0.standing == $0.threads.count ? true : nil }
    }

    /// Makes every running vCPU leave the guest once. The processor then tells KVM about the pages that it has not reported yet.
    func kickAll() {
        let wanted = state.update { state in
            state.kicks += 1
            poke(state)
            return state.kicks
        }
        _ = state.wait { state in
            state.mustStand && state.standing == state.threads.count || state.obeyedKicks.allSatisfy { $0 >= wanted } ? true : nil
        }
    }

    /// Ends and joins the threads. The vCPUs must stand already.
    func end() {
        let threads = state.update { state in
            state.ends = true
            return state.threads
        }
        for thread in threads { thread.join() }
    }

    /// The guest has ended on its own. Called on the thread of that vCPU.
    func guestEnded(_ ending: MicroVM.Ending) {
        let isNews = state.update { state in
            guard state.ending == nil else { return false }
            state.ending = ending
            state.mustStand = true
            poke(state)
            return true
        }
        if isNews { ended(ending) }
    }

    var ending: MicroVM.Ending? { state.withLock { $0.ending } }

    private func poke(_ state: State) {
        attention.store(true, ordering: .sequentiallyConsistent)
        for vcpu in vcpus { vcpu.setImmediateExit(true) }
        for handle in state.handles { if let handle { pthread_kill(handle, aerostat_kick_signal()) } }
    }

    private func updateAttention(_ state: State) {
        let isWanted = state.mustStand || state.ends || state.obeyedKicks.contains { $0 < state.kicks }
        attention.store(isWanted, ordering: .sequentiallyConsistent)
    }

    // MARK: The threads

    private func run(_ vcpu: VCPU) {
        precondition(aerostat_accept_kicks() == 0, "the kick's signal cannot be taken")
        state.withLock { $0.handles[vcpu.index] = pthread_self() }
        // Done under the lock, so that nobody sends a signal to a thread that is gone.
        defer { state.withLock { $0.handles[vcpu.index] = nil } }
        guard stand(vcpu) else { return }
        while true {
            vcpu.setImmediateExit(false)
            if attention.load(ordering: .sequentiallyConsistent), !heed(vcpu) { return }
            note(vcpu.enter(bus))
        }
    }

    private func note(_ event: VCPU.Event) {
        switch event {
        case .served, .interrupted: break
        case .ringFull: serveFullRing()
        case .ended(let ending): guestEnded(ending)
        }
    }

    /// Does what others have asked of the thread.
    /// - Returns: false if it must end.
    private func heed(_ vcpu: VCPU) -> Bool {
        let mustStand = state.update { state in
            state.obeyedKicks[vcpu.index] = state.kicks
            updateAttention(state)
            return state.mustStand
        }
        guard mustStand else { return true }
        note(vcpu.settle(bus))
        state.update { $0.standing += 1 }
        return stand(vcpu)
    }

    /// Counts the thread as standing, and sleeps until it may run.
    /// - Returns: false if the thread must end.
    private func stand(_ vcpu: VCPU) -> Bool {
        state.wait { state -> Bool? in
            if state.ends { return false }
            if state.mustStand { return nil }
            state.standing -= 1
            return true
        } ?? false
    }
}
