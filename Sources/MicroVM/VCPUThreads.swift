import AerostatHost
import CLinux
import Glibc
import Synchronization

/// The threads that run the vCPUs: lets them go, brings them to a stand out of the guest, and ends them.
///
/// Who wants a vCPU out of the guest sets `attention`, then the vCPU's wish to exit at once, then sends its thread a signal: the thread is
/// in the guest (the signal brings it out), on the way in (the wish has it come straight back), or before that (it sees `attention`,
/// because it takes the wish back before it looks).
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
        /// The guest's end, by its own doing. It stands from then on.
        var ending: MicroVM.Ending?
        var standing = 0
        var threads: [HostThread] = []
        /// For signals, by vCPU; `nil` where the thread does not run.
        var handles: [pthread_t?]
        /// Asks every vCPU to come out of the guest once; each writes down the last that it has obeyed.
        var kicks = 0
        var obeyedKicks: [Int]
    }

    /// - Parameters:
    ///   - serveFullRing: called on a vCPU's thread that cannot go on before the rings of written pages are emptied.
    ///   - ended: called once, on a vCPU's thread, when the guest has ended itself.
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

    /// Starts the threads, standing, those that have not been started yet: the last attempt may have got half of them.
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

    /// On return every vCPU is out of the guest, with what it had begun completed.
    func standStill() {
        state.update { state in
            state.mustStand = true
            poke(state)
        }
        _ = state.wait { $0.standing == $0.threads.count ? true : nil }
    }

    /// Has every vCPU that runs come out of the guest once: what the processor had not told KVM about pages is told then.
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

    /// Ends and joins the threads. The vCPUs stand before.
    func end() {
        let threads = state.update { state in
            state.ends = true
            return state.threads
        }
        for thread in threads { thread.join() }
    }

    /// The guest has ended itself, on the calling vCPU's thread.
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
        // Under the lock: nobody sends a signal to a thread that is gone.
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

    /// Does what others asked of the thread.
    /// - Returns: false where it must end.
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

    /// Counted as standing, sleeps until it may go.
    /// - Returns: false where the thread must end.
    private func stand(_ vcpu: VCPU) -> Bool {
        state.wait { state -> Bool? in
            if state.ends { return false }
            if state.mustStand { return nil }
            state.standing -= 1
            return true
        } ?? false
    }
}
