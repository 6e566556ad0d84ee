import GuestMemory
import Migration
public import Virtio

#if BrokenEngines
    import Host
#endif

/// The balloon device's state and what it does to its queues. Whoever calls a function here holds `BalloonCore`'s lock.
struct BalloonState: Sendable {
    let memory: GuestRAM
    let signals: VirtioSignals
    let options: BalloonOptions

    var targetPages: UInt32 = 0
    var actualPages: UInt32 = 0
    var poison: UInt32 = 0

    /// Between DRIVER_OK and the next reset.
    var isActive = false
    var negotiated = VirtioFeatures()
    var queues: [SplitVirtqueue?] = []
    var roles: [BalloonQueue?] = []
    /// Where the hint thread looks first: it goes round, so that no queue starves another.
    var nextQueue = 0
    /// A chain of the hint queue that was popped and is not yet given back.
    var chainInWork: ChainInWork?
    var fault: BalloonFault?

    var isParked = false
    var isShutDown = false

    var sequencer = FreePageHintSequencer()
    /// Chains of the hint queue that were there before the driver read the id of the open command: they answer an older one, whatever
    /// they say now. Linux's driver keeps the id that it answers in one word, which every start buffer of its names, so a start that the
    /// device has not read yet turns into the start of the next command; blocks behind it would be taken for hints of that command
    /// (rule "the id decides").
    var olderChains: UInt16 = 0
    /// The driver has not read the id of the open command, or that hints are done.
    var isIDUnread = false
    /// The driver has said its start and not yet its stop.
    private var isReporting = false
    /// Called when the driver has heard that hints are done.
    var doneHeard: (@Sendable () -> Void)?
    /// Blocks in a row that were taken and spared nothing.
    private var idleBlocks = 0
    var sink: (any HintSink)?
    var statistics = HintStatistics()

    struct ChainInWork: Sendable {
        let queue: Int
        let chain: DescriptorChain
        /// The first block that was not looked at.
        var next: Int
    }

    init(memory: GuestRAM, signals: VirtioSignals, options: BalloonOptions) {
        self.memory = memory
        self.signals = signals
        self.options = options
    }

    /// Whether the guest's driver can be asked for hints.
    ///
    /// Not where it was promised free pages filled with a pattern: they would arrive as zeros (rule "free, never stale data").
    var canHint: Bool {
        guard isActive, fault == nil, negotiated.contains(.freePageHint) else { return false }
        if negotiated.contains(.pagePoison), poison != 0 { return false }
        return zip(roles, queues).contains { $0 == .freePageHint && $1 != nil }
    }

    // MARK: The hint thread's work

    enum Step: Hashable {
        /// There may be more to do.
        case again
        /// There may be more to do, and it may wait for a moment.
        case rest
        /// Nothing to do until the bell rings.
        case sleep
        case exit
    }

    /// The most blocks, and the most bytes of them, that are applied in one hold of the lock: clearing 1 GiB of pages takes tens of
    /// microseconds, and one block has at most 4 GiB.
    static let blocksPerStep = 16
    static let bytesPerStep: UInt64 = 1 << 30

    /// After so many blocks in a row that spared nothing (64 GiB of 4 MiB blocks, far longer than any head start), the thread rests
    /// for a moment after each `blocksBetweenRests`: a guest that was never filled has many such blocks to report, and they would take
    /// the processor from the migration that they cannot help. The first that spares something ends it.
    static let idleBlocksBeforeRests = 16384
    static let blocksBetweenRests = 64

    mutating func step() -> Step {
        let before = idleBlocks
        let step = work()
        let isDue = idleBlocks > Self.idleBlocksBeforeRests && idleBlocks / Self.blocksBetweenRests != before / Self.blocksBetweenRests
        return step == .again && isDue ? .rest : step
    }

    private mutating func work() -> Step {
        if isShutDown { return .exit }
        guard isActive, !isParked, fault == nil else { return .sleep }
        if chainInWork != nil {
            applyBlocks()
            return .again
        }
        var index = nextQueue
        do throws(VirtqueueError) {
            for offset in queues.indices {
                index = (nextQueue + offset) % queues.count
                guard let chain = try queues[index]?.pop() else { continue }
                queues[index]?.suppressKicks()
                nextQueue = (index + 1) % queues.count
                handle(chain, queue: index)
                return .again
            }
        } catch {
            fail(BalloonFault(queue: index, error: error))
            return .sleep
        }
        var arrived = false
        for index in queues.indices where queues[index]?.enableKicks() == true { arrived = true }
        return arrived ? .again : .sleep
    }

    private mutating func handle(_ chain: DescriptorChain, queue: Int) {
        switch roles[queue] {
        case .freePageHint where olderChains > 0:
            olderChains -= 1
            statistics.staleBlocks += chain.segments.count - chain.readableCount
            giveBack(chain, queue: queue)
        case .freePageHint:
            if chain.readableCount > 0 {
                let action = sequencer.command(commandWord(chain))
                if case .announceStart = action { isReporting = true } else { isReporting = false }
                perform(action)
                answerDone()
            }
            chainInWork = ChainInWork(queue: queue, chain: chain, next: chain.readableCount)
            applyBlocks()
        case .inflate, .deflate, nil:
            giveBack(chain, queue: queue)
        }
    }

    /// The four bytes of a command; `nil` where there are more, or fewer, or they are not in RAM.
    private func commandWord(_ chain: DescriptorChain) -> UInt32? {
        guard chain.readable.reduce(UInt64(0), { $0 + UInt64($1.length) }) == 4 else { return nil }
        var word: UInt32 = 0
        var shift: UInt32 = 0
        for segment in chain.readable {
            guard let bytes = try? memory.read(at: segment.address, byteCount: Int(segment.length)) else { return nil }
            for byte in bytes {
                word |= UInt32(byte) << shift
                shift += 8
            }
        }
        return word
    }

    private mutating func perform(_ action: FreePageHintSequencer.Action) {
        switch action {
        case .nothing: break
        case .announceStart(let id): sink?.hintsStarted(id)
        case .announceStop(let id): closeCommand(id)
        case .countInvalid: statistics.invalidBlocks += 1
        }
    }

    /// Applies the next blocks of the chain in work, within the bounds of one step, and gives the chain back behind the last.
    private mutating func applyBlocks() {
        guard var work = chainInWork else { return }
        var blocks = 0
        var bytes: UInt64 = 0
        while work.next < work.chain.segments.count, blocks < Self.blocksPerStep, bytes < Self.bytesPerStep {
            let segment = work.chain.segments[work.next]
            apply(segment)
            work.next += 1
            blocks += 1
            bytes += UInt64(segment.length)
        }
        if work.next < work.chain.segments.count {
            chainInWork = work
        } else {
            chainInWork = nil
            giveBack(work.chain, queue: work.queue)
        }
    }

    private mutating func apply(_ block: VirtqueueSegment) {
        // State and id are looked at for each block, under the lock that the engine's `stop` takes.
        guard case .apply(let id) = sequencer.block(), let sink else {
            statistics.staleBlocks += 1
            return
        }
        switch sink.hint(id, address: block.address, byteCount: UInt64(block.length)) {
        case .taken(_, let skipped): idleBlocks = skipped > 0 ? 0 : idleBlocks + 1
        case .stale: statistics.staleBlocks += 1
        case .invalid: statistics.invalidBlocks += 1
        }
    }

    private mutating func giveBack(_ chain: DescriptorChain, queue: Int) {
        queues[queue]?.push(head: chain.head, length: 0)
        if queues[queue]?.needsInterrupt() == true { signals.usedBuffers() }
    }

    // MARK: The command

    /// What waits on the hint queue at this moment is older than the driver's answer to the open command.
    mutating func markOlderChains() {
        #if BrokenEngines
            if BrokenEngine.isCountingOlderChains { return }
        #endif
        guard let index = roles.firstIndex(of: .freePageHint) else { return }
        olderChains = queues[index]?.waitingChains ?? 0
    }

    /// Linux's driver looks at the word also while it reports, and takes its blocks back only when it has ended that with its stop.
    mutating func answerDone() {
        guard sequencer.state == .done, !isActive || !isIDUnread && !isReporting, let heard = doneHeard else { return }
        doneHeard = nil
        heard()
    }

    /// The command is over, whoever ended it: says so once.
    mutating func closeCommand(_ id: CommandID) {
        sink?.hintsStopped(id)
        sink = nil
        idleBlocks = 0
    }

    private mutating func fail(_ fault: BalloonFault) {
        self.fault = fault
        statistics.invalidBlocks += 1
        if let id = sequencer.openID {
            sequencer.stop()
            closeCommand(id)
        }
        signals.deviceNeedsReset()
    }

    mutating func stop(queue: Int) {
        guard queues.indices.contains(queue) else { return }
        queues[queue] = nil
        if chainInWork?.queue == queue { chainInWork = nil }
        // Nobody is left to answer.
        guard roles[queue] == .freePageHint else { return }
        isReporting = false
        answerDone()
        if let id = sequencer.openID {
            sequencer.stop()
            closeCommand(id)
        }
    }

    mutating func reset() {
        if let id = sequencer.openID { closeCommand(id) }
        sequencer.reset()
        isActive = false
        negotiated = []
        queues = []
        roles = []
        nextQueue = 0
        chainInWork = nil
        olderChains = 0
        isIDUnread = false
        isReporting = false
        // It holds nothing any more.
        doneHeard?()
        doneHeard = nil
        fault = nil
        // The pages that the host wants and the driver last reported stay, as in QEMU.
        poison = 0
    }

    /// Where the queues stand. A chain in work counts as not popped: whoever takes over handles it from its start, which is harmless
    /// as blocks are only ever applied under an open command.
    var queuePositions: [VirtqueuePosition?] {
        queues.enumerated().map { index, queue in
            guard var position = queue?.position else { return nil }
            if chainInWork?.queue == index { position.nextAvailable &-= 1 }
            return position
        }
    }
}

/// A queue that the guest broke; the device waits for its reset.
public struct BalloonFault: Error, Hashable, Sendable, CustomStringConvertible {
    public let queue: Int
    public let error: VirtqueueError

    public var description: String { "virtio-balloon queue \(queue) is broken: \(error)" }
}
