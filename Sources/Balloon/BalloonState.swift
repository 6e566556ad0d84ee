import AerostatGuestMemory
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
    /// What configuration space shows.
    var poison: UInt32 = 0
    /// Called, without the lock, when the driver has written another `actualPages`.
    var actualChanged: (@Sendable () -> Void)?

    var queues: DeviceQueues
    /// What each queue is for, by the driver's numbers.
    private var roles: [BalloonQueue?] = []
    private(set) var inflate = InflateQueue()
    private(set) var deflate = DeflateQueue()
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
            // None of the queues has anything written into its chains.
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

    /// Whether the device has the driver's statistics buffer.
    var isStatisticsBufferKept: Bool { roles.firstIndex(of: .statistics).map(queues.holdsChain) ?? false }

    /// Whether the driver waits for a request, and one may be made.
    var isHoldingStatistics: Bool { !queues.isParked && queues.fault == nil && isStatisticsBufferKept }

    /// Where it is time for it, asks the driver for new statistics: it gets back the buffer that the device holds.
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

    /// The pages that the host wants and the driver last reported stay, as in QEMU. The next driver's balloon is empty all the same.
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
    /// Not where it was promised free pages filled with a pattern: they would arrive as zeros (rule "free, never stale data").
    var canHint: Bool {
        guard queues.isActive, queues.fault == nil, queues.negotiated.contains(.freePageHint) else { return false }
        guard account.poison ?? 0 == 0 else { return false }
        return roles.firstIndex(of: .freePageHint).map(queues.isLive) ?? false
    }

    /// Chains that wait on the hint queue at this moment.
    var waitingHintChains: UInt16 { roles.firstIndex(of: .freePageHint).map(queues.waitingChains) ?? 0 }
}

/// What follows a piece of a chain's work.
enum ChainStep: Hashable, Sendable {
    /// There is more to do.
    case again
    /// The chain is given back.
    case finished
    /// The chain is kept, until the device wants something of the driver.
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
