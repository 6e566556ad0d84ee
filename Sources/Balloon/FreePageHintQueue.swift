import AerostatGuestMemory
import AerostatMigration
import AerostatVirtio

#if BrokenEngines
    import AerostatHost
#endif

/// Free-page hints: the commands that the engine opens, and the driver's answers on the hint queue (specification 5.5.6.6).
struct FreePageHintQueue: BalloonQueueHandler {
    private let memory: GuestRAM
    var sequencer = FreePageHintSequencer()
    var statistics = HintStatistics()
    private var sink: (any HintSink)?

    /// True between DRIVER_OK and the next reset.
    private var isActive = false
    /// How many waiting chains were queued before the driver read the open command's id. They answer an older command, whatever they
    /// contain now: Linux's driver keeps its id in one word that all its start buffers point to, so a start that the device has not read
    /// yet turns into the start of the next command. Its blocks would be taken for hints of that command (rule "the id decides").
    private var olderChains: UInt16 = 0
    /// The driver has not yet read the word in configuration space: the open command's id, or DONE.
    private var isIDUnread = false
    /// The driver has sent its start and not yet its stop.
    private var isReporting = false
    /// Called when the driver has acknowledged DONE.
    private var doneHeard: (@Sendable () -> Void)?
    /// The index of the first unprocessed block of the chain in work.
    private var nextBlock = 0

    init(_ memory: GuestRAM) { self.memory = memory }

    // MARK: Bounds

    /// The most blocks, and the most bytes of them, that are applied in one hold of the lock. Clearing the bits of 1 GiB of pages takes
    /// tens of microseconds, and one block has at most 4 GiB.
    static let blocksPerStep = 16
    static let bytesPerStep: UInt64 = 1 << 30

    /// After this many blocks in a row that spared nothing, the thread rests for a moment after each `blocksBetweenRests`. A guest that
    /// was never filled has many such blocks to report, and they would take the processor from the migration without helping it. The limit
    /// is 64 GiB of 4 MiB blocks, far longer than any head start. The first block that spares something ends the rests.
    static let idleBlocksBeforeRests = 16384
    static let blocksBetweenRests = 64

    /// How many blocks in a row were accepted and spared nothing.
    private var idleBlocks = 0
    /// Whether the thread should rest after the last piece of work.
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

    /// Handles the driver's start or stop.
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

    /// The four bytes of a command; `nil` if the chain has more or fewer bytes, or they are not in RAM.
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
        // State and id are checked for each block, under the same lock that the engine's `stop` takes.
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

    /// Opens a command. If the driver cannot be asked, it is over at once.
    /// - Parameters:
    ///   - canHint: whether the driver can be asked.
    ///   - waiting: how many chains wait on the queue now.
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
        // Done before the guest can see the id, because it may answer at once.
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

    /// The driver has read the word in configuration space. From now on it can answer; what it queued before is no answer.
    mutating func wordWasRead(waiting: UInt16) {
        guard isIDUnread else { return }
        isIDUnread = false
        if sequencer.openID != nil { noteOlderChains(waiting) }
        answerDone()
    }

    /// The chains that wait on the hint queue now are older than the driver's answer to the open command.
    private mutating func noteOlderChains(_ waiting: UInt16) {
        #if BrokenEngines
            if BrokenEngine.isCountingOlderChains { return }
        #endif
        olderChains = waiting
    }

    /// Linux's driver also reads the word while it reports. It takes its blocks back only after it has sent its stop.
    mutating func answerDone() {
        guard sequencer.state == .done, !isActive || !isIDUnread && !isReporting, let heard = doneHeard else { return }
        doneHeard = nil
        heard()
    }

    /// Reports the end of the command once, whoever ended it.
    private mutating func close(_ id: CommandID) {
        sink?.hintsStopped(id)
        sink = nil
        idleBlocks = 0
    }

    // MARK: The device

    mutating func activate() { isActive = true }

    /// One of the device's queues is broken.
    mutating func fail() {
        statistics.invalidBlocks += 1
        _ = end()
    }

    mutating func stop() {
        // The driver can no longer answer.
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
        // The driver holds no blocks any more.
        doneHeard?()
        doneHeard = nil
    }
}
