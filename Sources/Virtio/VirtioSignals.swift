import Synchronization

/// What a device says to its driver besides the rings: interrupts, changed configuration, "I need a reset".
///
/// Its lock is the last one taken: the interrupt closure is called under it and must neither block nor call back.
public final class VirtioSignals: Sendable {
    struct State: Sendable {
        /// The interrupt status register.
        var pending: UInt32 = 0
        var generation: UInt32 = 0
        var needsReset = false
        /// Whether the driver said DRIVER_OK; before, no interrupt is sent.
        var isLive = false
    }

    private let state = Mutex(State())
    private let interrupt: @Sendable (_ level: Bool) -> Void

    /// - Parameter interrupt: gets true with every new reason for an interrupt (an edge-triggered line or an eventfd needs no more),
    ///   and false when the driver has acknowledged all of them (a level-triggered line drops).
    public init(interrupt: @escaping @Sendable (_ level: Bool) -> Void) {
        self.interrupt = interrupt
    }

    /// Chains were given back, and the driver wants to know.
    public func usedBuffers() {
        state.withLock { raise(&$0, VirtioMMIO.Interrupt.usedBuffer) }
    }

    /// Configuration space reads differently from now on.
    public func configurationChanged() {
        state.withLock {
            $0.generation &+= 1
            raise(&$0, VirtioMMIO.Interrupt.configurationChange)
        }
    }

    /// The device cannot go on (a broken queue) until it is reset.
    public func deviceNeedsReset() {
        state.withLock {
            $0.needsReset = true
            raise(&$0, VirtioMMIO.Interrupt.configurationChange)
        }
    }

    private func raise(_ state: inout State, _ reason: UInt32) {
        guard state.isLive else { return }
        state.pending |= reason
        interrupt(true)
    }

    // MARK: For the transport

    var snapshot: State { state.withLock { $0 } }

    func acknowledge(_ reasons: UInt32) {
        state.withLock {
            guard $0.pending != 0 else { return }
            $0.pending &= ~reasons
            if $0.pending == 0 { interrupt(false) }
        }
    }

    func goLive() { state.withLock { $0.isLive = true } }

    func reset() {
        state.withLock {
            if $0.pending != 0 { interrupt(false) }
            // The generation goes on: a driver that compares two reads must not see an old value again.
            $0 = State(generation: $0.generation)
        }
    }

    func restore(_ saved: State) {
        state.withLock {
            $0 = saved
            if saved.pending != 0 { interrupt(true) }
        }
    }
}
