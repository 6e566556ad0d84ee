import AerostatGuestMemory
import AerostatVirtio

/// What the device's calls and its thread share, and the work on each queue. The caller of every function here holds the worker's lock.
///
/// Each queue has its own handler, which is stored here. A new queue needs a case of `BalloonQueue`, a handler beside the others here, and
/// a line in each of the two switches.
struct BalloonState: DeviceWork {
    let signals: VirtioSignals
    let options: BalloonOptions

    var targetPages: UInt32 = 0
    var actualPages: UInt32 = 0
    /// The value in configuration space.
    var poison: UInt32 = 0
    /// Called without the lock when the driver has written a different `actualPages`.
    var actualChanged: (@Sendable () -> Void)?

    var queues: DeviceQueues
    /// What each queue is for, indexed by the driver's queue numbers.
    private var roles: [BalloonQueue?] = []
    private(set) var inflate = PageQueue(.inflate)
    private(set) var deflate = PageQueue(.deflate)
    var statistics = StatisticsQueue()
    var hints: FreePageHintQueue
    private var reporting = ReportQueue()
    /// What the queues share.
    var account: BalloonAccount

    init(signals: VirtioSignals, options: BalloonOptions, memory: GuestRAM, ballooned: PageSet, clock: BalloonClock) {
        self.signals = signals
        self.options = options
        hints = FreePageHintQueue(memory)
        account = BalloonAccount(memory, ballooned, clock)
        queues = DeviceQueues(signals)
    }

    // MARK: The thread's work

    mutating func step() -> DeviceStep {
        askForStatistics()
        switch queues.nextChain() {
        case .nothing: return isHoldingStatistics ? statistics.nextRequest.map(DeviceStep.sleepUntil) ?? .sleep : .sleep
        case .arrived: return .again
        case .broken:
            hints.fail()
            return .sleep
        case .chain(let chain, let queue, let isNew):
            guard let role = roles[queue] else { preconditionFailure("a chain of a queue that does not exist") }
            #if BrokenEngines
                if isNew { account.giveBackLate() }
            #endif
            switch serve(role, chain, isNew: isNew) {
            case .again: break
            // No queue has a device-written part in its chains.
            case .finished: queues.giveBack(length: 0)
            case .held: if queues.hold() { account.counters.surplusStatisticsBuffers += 1 }
            }
            return role == .freePageHint && hints.wantsRest ? .rest : .again
        }
    }

    private mutating func serve(_ role: BalloonQueue, _ chain: DescriptorChain, isNew: Bool) -> ChainStep {
        switch role {
        case .inflate: inflate.serve(chain, isNew: isNew, &account)
        case .deflate: deflate.serve(chain, isNew: isNew, &account)
        case .statistics: statistics.serve(chain, isNew: isNew, &account)
        case .freePageHint: hints.serve(chain, isNew: isNew, &account)
        case .reporting: reporting.serve(chain, isNew: isNew, &account)
        }
    }

    // MARK: Statistics

    /// Whether the device holds the driver's statistics buffer.
    var isStatisticsBufferKept: Bool { roles.firstIndex(of: .statistics).map(queues.holdsChain) ?? false }

    /// Whether the device holds the buffer and could ask for new statistics now.
    var isHoldingStatistics: Bool { !queues.isParked && queues.fault == nil && isStatisticsBufferKept }

    /// If it is time, asks the driver for new statistics by giving the buffer back.
    private mutating func askForStatistics() {
        guard let moment = statistics.nextRequest, isHoldingStatistics, let queue = roles.firstIndex(of: .statistics) else { return }
        let now = account.clock.now()
        guard moment <= now else { return }
        statistics.noteRequest(now)
        queues.giveBackHeld(queue)
    }

    // MARK: The transport's calls

    mutating func activate(_ features: VirtioFeatures, _ queues: [SplitVirtqueue?], roles: [BalloonQueue?]) {
        self.queues.activate(features, queues)
        self.roles = roles
        account.rings = OwnPages(rings: queues.compactMap { $0?.layout }, account.memory.regions)
        account.negotiated = features
        hints.activate()
    }

    mutating func stop(queue: Int) {
        guard roles.indices.contains(queue), let role = roles[queue] else { return }
        queues.stop(queue: queue)
        switch role {
        case .inflate: inflate.stop()
        case .deflate: deflate.stop()
        case .statistics: statistics.stop()
        case .freePageHint: hints.stop()
        case .reporting: reporting.stop()
        }
    }

    /// The target and the driver's last reported size stay, as in QEMU. The next driver's balloon is empty all the same.
    mutating func reset() {
        queues.reset()
        roles = []
        poison = 0
        account.reset()
        inflate.reset()
        deflate.reset()
        statistics.reset()
        hints.reset()
        reporting.reset()
    }

    // MARK: Hints

    /// Whether the guest's driver can be asked for hints.
    ///
    /// No if the guest was promised that its free pages keep a pattern: they would arrive as zeros (rule "free, never stale data").
    var canHint: Bool {
        guard queues.isActive, queues.fault == nil, queues.negotiated.contains(.freePageHint) else { return false }
        guard account.poison ?? 0 == 0 else { return false }
        return roles.firstIndex(of: .freePageHint).map(queues.isLive) ?? false
    }

    /// The number of chains that wait on the hint queue now.
    var waitingHintChains: UInt16 { roles.firstIndex(of: .freePageHint).map(queues.waitingChains) ?? 0 }
}

/// What to do after a piece of work on a chain.
enum ChainStep: Hashable, Sendable {
    /// There is more to do.
    case again
    /// The chain is given back.
    case finished
    /// The chain is kept until the device asks the driver for something.
    case held
}

/// What a balloon does with the chains of one of its queues. Called under the worker's lock.
protocol BalloonQueueHandler: Sendable {
    /// Does a short piece of a chain's work.
    /// - Parameter isNew: whether it is the first piece.
    mutating func serve(_ chain: DescriptorChain, isNew: Bool, _ account: inout BalloonAccount) -> ChainStep

    /// The driver has taken the queue back. A chain that was in work is forgotten.
    mutating func stop()

    /// The driver has reset the device.
    mutating func reset()
}
