import Synchronization

/// What a device tells its driver outside the rings: interrupts, changed configuration, "I need a reset".
///
/// Its lock is the last one taken: the interrupt closure is called under it and must neither block nor call back.
public final class VirtioSignals: Sendable {
    struct State: Sendable {
        /// The interrupt status register.
        var pending: UInt32 = 0
        var generation: UInt32 = 0
        var needsReset = false
        /// Whether the driver said DRIVER_OK. No interrupt is sent before that.
        var isLive = false
    }

    private let state = Mutex(State())
    private let interrupt: @Sendable (_ level: Bool) -> Void

    /// - Parameter interrupt: called with true for every new reason for an interrupt (enough for an edge-triggered line or an eventfd), and
    ///   with false when the driver has acknowledged all of them (for a level-triggered line).
    public init(interrupt: @escaping @Sendable (_ level: Bool) -> Void) {
        self.interrupt = interrupt
    }

    /// Chains were given back, and the driver wants an interrupt.
    public func usedBuffers() {
        state.withLock { raise(&$0, VirtioMMIO.Interrupt.usedBuffer) }
    }

    /// The content of configuration space has changed.
    public func configurationChanged() {
        state.withLock {
            $0.generation &+= 1
            raise(&$0, VirtioMMIO.Interrupt.configurationChange)
        }
    }

    /// The device cannot continue (a broken queue) until it is reset.
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
            // The generation is kept: a driver that compares two reads must not see an old value again.
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
