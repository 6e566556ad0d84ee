import AerostatGuestMemory
import AerostatMigration
import AerostatVirtio

#if BrokenEngines
    import AerostatHost
#endif

/// Free-page hints: the commands that the engine opens, and what the driver answers on the hint queue (specification 5.5.6.6).
struct FreePageHintQueue: BalloonQueueHandler {
    private let memory: GuestRAM
    var sequencer = FreePageHintSequencer()
    var statistics = HintStatistics()
    private var sink: (any HintSink)?

    /// True between DRIVER_OK and the next reset.
    private var isActive = false
    /// Chains that were there before the driver read the id of the open command: they answer an older one, whatever they say now. Linux's
    /// driver keeps the id that it answers in one word, which every start buffer of its names, so a start that the device has not read
    /// yet turns into the start of the next command; blocks behind it would be taken for hints of that command (rule "the id decides").
    private var olderChains: UInt16 = 0
    /// The driver has not read the id of the open command, or that hints are done.
    private var isIDUnread = false
    /// The driver has said its start and not yet its stop.
    private var isReporting = false
    /// Called when the driver has heard that hints are done.
    private var doneHeard: (@Sendable () -> Void)?
    /// Of the chain in work: the first block that was not looked at.
    private var nextBlock = 0

    init(_ memory: GuestRAM) { self.memory = memory }

    // MARK: Bounds

    /// The most blocks, and the most bytes of them, that are applied in one hold of the lock: clearing 1 GiB of pages takes tens of
    /// microseconds, and one block has at most 4 GiB.
    static let blocksPerStep = 16
    static let bytesPerStep: UInt64 = 1 << 30

    /// After so many blocks in a row that spared nothing (64 GiB of 4 MiB blocks, far longer than any head start), the thread rests
    /// for a moment after each `blocksBetweenRests`: a guest that was never filled has many such blocks to report, and they would take
    /// the processor from the migration that they cannot help. The first that spares something ends it.
    static let idleBlocksBeforeRests = 16384
    static let blocksBetweenRests = 64

    /// Blocks in a row that were taken and spared nothing.
    private var idleBlocks = 0
    /// Whether the last piece of work was one after which the thread rests.
    private(set) var wantsRest = false

    // MARK: The queue

    mutating func serve(_ chain: DescriptorChain, isNew: Bool, _ account: inout BalloonAccount) -> ChainStep {
        let before = idleBlocks
        defer {
            wantsRest = idleBlocks > Self.idleBlocksBeforeRests && idleBlocks / Self.blocksBetweenRests != before / Self.blocksBetweenRests
        }
        if isNew {
            guard olderChains == 0 else {
                olderChains -= 1
                statistics.staleBlocks += chain.segments.count - chain.readableCount
                return .finished
            }
            if chain.readableCount > 0 { hear(chain) }
            nextBlock = chain.readableCount
        }
        return applyBlocks(of: chain) ? .finished : .again
    }

    /// The driver's start or stop.
    private mutating func hear(_ chain: DescriptorChain) {
        let action = sequencer.command(commandWord(chain))
        isReporting = false
        switch action {
        case .nothing: break
        case .announceStart(let id):
            isReporting = true
            sink?.hintsStarted(id)
        case .announceStop(let id): close(id)
        case .countInvalid: statistics.invalidBlocks += 1
        }
        answerDone()
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

    /// Applies the next blocks of the chain, within the bounds of one step.
    /// - Returns: whether that was the last one.
    private mutating func applyBlocks(of chain: DescriptorChain) -> Bool {
        var blocks = 0
        var bytes: UInt64 = 0
        while nextBlock < chain.segments.count, blocks < Self.blocksPerStep, bytes < Self.bytesPerStep {
            let segment = chain.segments[nextBlock]
            apply(segment)
            nextBlock += 1
            blocks += 1
            bytes += UInt64(segment.length)
        }
        return nextBlock == chain.segments.count
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

    // MARK: The command

    /// Opens a command, which is over at once where there is nobody to ask.
    /// - Parameters:
    ///   - canHint: whether the driver can be asked.
    ///   - waiting: chains that wait on the queue now.
    mutating func begin(reportingTo sink: any HintSink, canHint: Bool, waiting: UInt16) -> CommandID {
        if let id = sequencer.openID { close(id) }
        statistics.commands += 1
        guard canHint else {
            sequencer.stop()
            let id = sequencer.skipID()
            sink.hintsOpened(id)
            sink.hintsStopped(id)
            return id
        }
        let id = sequencer.begin()
        self.sink = sink
        doneHeard = nil
        isIDUnread = true
        noteOlderChains(waiting)
        // Before the guest can see the id: it may answer at once.
        sink.hintsOpened(id)
        return id
    }

    /// The host ends the command.
    /// - Returns: whether one was open.
    mutating func end() -> Bool {
        guard let id = sequencer.openID else { return false }
        sequencer.stop()
        close(id)
        return true
    }

    /// - Returns: whether the guest's driver has something new to read.
    mutating func done(heard: (@Sendable () -> Void)?) -> Bool {
        if let id = sequencer.openID { close(id) }
        doneHeard = heard
        let isNew = sequencer.state != .done
        if isNew {
            sequencer.done()
            isIDUnread = true
        }
        return isNew
    }

    /// The driver has read the word in configuration space: from now on it can answer, and what it queued before is no answer.
    mutating func wordWasRead(waiting: UInt16) {
        guard isIDUnread else { return }
        isIDUnread = false
        if sequencer.openID != nil { noteOlderChains(waiting) }
        answerDone()
    }

    /// What waits on the hint queue at this moment is older than the driver's answer to the open command.
    private mutating func noteOlderChains(_ waiting: UInt16) {
        #if BrokenEngines
            if BrokenEngine.isCountingOlderChains { return }
        #endif
        olderChains = waiting
    }

    /// Linux's driver looks at the word also while it reports, and takes its blocks back only when it has ended that with its stop.
    mutating func answerDone() {
        guard sequencer.state == .done, !isActive || !isIDUnread && !isReporting, let heard = doneHeard else { return }
        doneHeard = nil
        heard()
    }

    /// The command is over, whoever ended it: says so once.
    private mutating func close(_ id: CommandID) {
        sink?.hintsStopped(id)
        sink = nil
        idleBlocks = 0
    }

    // MARK: The device

    mutating func activate() { isActive = true }

    /// A queue of the device is broken.
    mutating func fail() {
        statistics.invalidBlocks += 1
        _ = end()
    }

    mutating func stop() {
        // Nobody is left to answer.
        isReporting = false
        answerDone()
        _ = end()
    }

    mutating func reset() {
        if let id = sequencer.openID { close(id) }
        sequencer.reset()
        isActive = false
        olderChains = 0
        isIDUnread = false
        isReporting = false
        // It holds nothing any more.
        doneHeard?()
        doneHeard = nil
    }
}
