import AerostatVirtio

/// All that the device's calls and its thread share, and what is done with each queue. Whoever calls a function here holds the worker's
/// lock.
///
/// A queue has a handler of its own, and this is where it is found: a queue that is new needs a case of `BalloonQueue`, its handler
/// beside the others here, and a line in each of the two switches.
struct BalloonState: DeviceWork {
    let signals: VirtioSignals
    let options: BalloonOptions

    var targetPages: UInt32 = 0
    var actualPages: UInt32 = 0
    var poison: UInt32 = 0

    var queues: DeviceQueues
    /// What each queue is for, by the driver's numbers.
    private var roles: [BalloonQueue?] = []
    private var inflate = InflateQueue()
    private var deflate = DeflateQueue()
    var hints: FreePageHintQueue

    init(signals: VirtioSignals, options: BalloonOptions, hints: FreePageHintQueue) {
        self.signals = signals
        self.options = options
        self.hints = hints
        queues = DeviceQueues(signals)
    }

    // MARK: The thread's work

    mutating func step() -> DeviceStep {
        switch queues.nextChain() {
        case .nothing: return .sleep
        case .arrived: return .again
        case .broken:
            hints.fail()
            return .sleep
        case .chain(let chain, let queue, let isNew):
            guard let role = roles[queue] else { preconditionFailure("a chain of a queue that does not exist") }
            if let written = serve(role, chain, isNew: isNew) { queues.giveBack(length: written) }
            return role == .freePageHint && hints.wantsRest ? .rest : .again
        }
    }

    private mutating func serve(_ role: BalloonQueue, _ chain: DescriptorChain, isNew: Bool) -> UInt32? {
        switch role {
        case .inflate: inflate.serve(chain, isNew: isNew)
        case .deflate: deflate.serve(chain, isNew: isNew)
        case .freePageHint: hints.serve(chain, isNew: isNew)
        }
    }

    // MARK: The transport's calls

    mutating func activate(_ features: VirtioFeatures, _ queues: [SplitVirtqueue?], roles: [BalloonQueue?]) {
        self.queues.activate(features, queues)
        self.roles = roles
        hints.activate()
    }

    mutating func stop(queue: Int) {
        guard roles.indices.contains(queue), let role = roles[queue] else { return }
        queues.stop(queue: queue)
        switch role {
        case .inflate: inflate.stop()
        case .deflate: deflate.stop()
        case .freePageHint: hints.stop()
        }
    }

    /// The pages that the host wants and the driver last reported stay, as in QEMU.
    mutating func reset() {
        queues.reset()
        roles = []
        poison = 0
        inflate.reset()
        deflate.reset()
        hints.reset()
    }

    // MARK: Hints

    /// Whether the guest's driver can be asked for hints.
    ///
    /// Not where it was promised free pages filled with a pattern: they would arrive as zeros (rule "free, never stale data").
    var canHint: Bool {
        guard queues.isActive, queues.fault == nil, queues.negotiated.contains(.freePageHint) else { return false }
        if queues.negotiated.contains(.pagePoison), poison != 0 { return false }
        return roles.firstIndex(of: .freePageHint).map(queues.isLive) ?? false
    }

    /// Chains that wait on the hint queue at this moment.
    var waitingHintChains: UInt16 { roles.firstIndex(of: .freePageHint).map(queues.waitingChains) ?? 0 }
}

/// What a balloon does with the chains of one of its queues. Called under the worker's lock.
protocol BalloonQueueHandler: Sendable {
    /// Does a short piece of a chain's work.
    /// - Parameter isNew: whether it is the first piece.
    /// - Returns: how many bytes it wrote into the chain, which is given back; `nil` where there is more to do.
    mutating func serve(_ chain: DescriptorChain, isNew: Bool) -> UInt32?

    /// The driver has taken the queue back. A chain that was in work is forgotten.
    mutating func stop()

    /// The driver has reset the device.
    mutating func reset()
}
