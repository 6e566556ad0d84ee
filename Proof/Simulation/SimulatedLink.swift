import AerostatGuestMemory
import AerostatHost
import AerostatMigration

/// One end of a link in memory: the transport that one side of the real engine uses.
///
/// Frames are really encoded, checked and decoded. As with io_uring, pages are read from guest memory piece by piece when their bytes go
/// onto the wire, and arrive in guest memory in the same way. `work` is the kernel's part; an actor of its own calls it.
final class SimulatedEnd: Transport {
    private let world: World
    private let outgoing: Wire
    private let incoming: Wire
    private let account: WireAccount?
    /// Whether another actor wants this side to wake up.
    var isDisturbed = false

    /// A frame and its pages on their way out.
    struct Message {
        var frame: Frame
        var head: [UInt8]
        var pages: [Int]
        var memory: GuestRAM?
        var position = 0
        /// The pages' content when the frame was due, if the frame was kept back.
        var captured: [[UInt8]] = []
        var count: Int { head.count + pages.count * GuestPage.size }
    }

    private enum Stage {
        case header
        case body(FrameHeader, [UInt8])
        case frame(FrameHeader, [UInt8])
        case awaitingPages(Int)
        case pages([Int], GuestRAM, [PageRun])
        case failed
    }

    private var messages: [Message] = []
    private var outgoingSequence: UInt32 = 0
    private var incomingSequence: UInt32 = 0
    private var stage = Stage.header
    /// The bytes of this stage that have arrived so far.
    private var collected: [UInt8] = []
    private var pagePosition = 0
    private var progress = 0
    private var seenProgress = 0
    private var failures: [TransportError] = []
    private var isSendingDead = false
    private var discards = false
    #if BrokenEngines
        /// A frame of the other channel, overtaken.
        private var overtaken: Message?
    #endif

    static let maximumMessages = 2

    let isDisk = false
    let switchOverCost: Duration = .zero
    var pageCount = 0
    /// The progress that this side knows of. It learns of the kernel's work only when it waits, as from a completion queue.
    private(set) var bytesSent = 0
    private(set) var bytesReceived = 0
    private var unsentMessages = 0
    private var hasFrame = false
    private(set) var hasReceivedPages = true
    private var sent = 0
    private var received = 0

    /// - Parameter account: of the source's end.
    init(_ world: World, outgoing: Wire, incoming: Wire, account: WireAccount?) {
        self.world = world
        self.outgoing = outgoing
        self.incoming = incoming
        self.account = account
    }

    // MARK: Transport

    var canSend: Bool { unsentMessages < Self.maximumMessages }
    var hasSentAll: Bool { unsentMessages == 0 }

    func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) {
        precondition(canSend, "the link was handed a frame while it was full")
        account?.note(frame)
        var pages: [Int] = []
        if case .runs(let runs, _) = frame { for run in runs where run.kind == .data { pages += run.run.indices } }
        var message = Message(frame: frame, head: [], pages: pages, memory: memory)
        #if BrokenEngines
            if BrokenEngine.isActive(.twoChannels), let account, overtake(&message, account) { return }
        #endif
        enqueue(&message)
    }

    private func enqueue(_ message: inout Message) {
        message.head = message.frame.encode(sequence: outgoingSequence)
        outgoingSequence &+= 1
        // A whole frame is lost, including its sequence number. No link does that, but a faulty middlebox may.
        if let account, account.frames == world.scenario[.loseAt] { return world.note("a frame is lost") }
        scheduleCut(message)
        messages.append(message)
        unsentMessages += 1
    }

    func takeFrame() throws(TransportError) -> Frame? {
        guard hasFrame, case .frame(let header, let body) = stage else { return nil }
        hasFrame = false
        do throws(StreamError) {
            let frame = try Frame(header, body: body, pageCount: pageCount)
            stage = header.payloadBytes > 0 ? .awaitingPages(Int(header.payloadBytes)) : .header
            return frame
        } catch { throw .stream(error) }
    }

    func receivePages(_ runs: [PageRun], into memory: GuestRAM) throws(TransportError) {
        guard case .awaitingPages(let bytes) = stage else {
            precondition(runs.isEmpty, "pages are received where none follow")
            return
        }
        let pages = runs.flatMap(\.indices)
        precondition(pages.count * GuestPage.size == bytes, "other pages than the frame announced")
        stage = .pages(pages, memory, runs)
        hasReceivedPages = false
        pagePosition = 0
    }

    func discardIncoming(until deadline: ContinuousClock.Instant) {
        discards = true
        world.scheduler.sleep(until: deadline) { [self] in incoming.isEnded }
    }

    func wait(until deadline: ContinuousClock.Instant?) throws(TransportError) {
        world.scheduler.yield()
        world.scheduler.sleep(until: deadline) { [self] in progress != seenProgress || isDisturbed || !failures.isEmpty }
        seenProgress = progress
        isDisturbed = false
        reapCompletions()
        if !failures.isEmpty { throw failures.removeFirst() }
    }

    private func reapCompletions() {
        (bytesSent, bytesReceived, unsentMessages) = (sent, received, messages.count)
        if case .frame = stage { hasFrame = true }
        if case .pages = stage {} else { hasReceivedPages = true }
    }

    /// The side is done with the link.
    func close() {
        outgoing.isClosed = true
        incoming.isReaderGone = true
        messages.removeAll()
        stage = .failed
    }

    // MARK: The kernel's part

    /// Moves some bytes, in one direction.
    /// - Returns: whether there was something to do.
    func work() -> Bool {
        world.scheduler.chance(oneIn: 2) ? sendSome() || receiveSome() : receiveSome() || sendSome()
    }

    /// Whether `work` would move something.
    var canWork: Bool {
        if !messages.isEmpty {
            if outgoing.isCut || outgoing.isReaderGone ? !isSendingDead : outgoing.room > 0 || outgoing.isCutDue { return true }
        }
        if discards { return incoming.count > 0 }
        return wantedBytes > 0 && (incoming.count > 0 || incoming.isEnded)
    }

    private var chunk: Int { world.scheduler.pick(1..<1 << world.scenario[.chunk] + 1) }

    private func sendSome() -> Bool {
        guard var message = messages.first else { return false }
        outgoing.cutIfDue()
        if outgoing.isCut || outgoing.isReaderGone {
            guard !isSendingDead else { return false }
            isSendingDead = true
            fail(.system(operation: "send to the other side", reason: "the link is gone"))
            return true
        }
        let count = min(chunk, outgoing.room, message.count - message.position)
        guard count > 0 else { return false }
        outgoing.push(bytes(of: message, count)[...])
        message.position += count
        sent += count
        progress += 1
        if message.position > message.head.count, message.position < message.count,
            (message.position - message.head.count) % GuestPage.size != 0
        {
            world.reached(.pageReadInPieces)
        }
        if message.position == message.count { messages.removeFirst() } else { messages[0] = message }
        return true
    }

    private func bytes(of message: Message, _ count: Int) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        var position = message.position
        while result.count < count {
            let left = count - result.count
            if position < message.head.count {
                let part = message.head[position..<min(message.head.count, position + left)]
                result += corrupted(part, position)
                position += part.count
                continue
            }
            let offset = position - message.head.count
            let page = message.pages[offset / GuestPage.size]
            let start = offset % GuestPage.size
            let length = min(left, GuestPage.size - start)
            if message.captured.isEmpty {
                result += read(page, start, length, message.memory!)
            } else {
                result += message.captured[offset / GuestPage.size][start..<start + length]
            }
            position += length
        }
        return result
    }

    private func read(_ page: Int, _ start: Int, _ length: Int, _ memory: GuestRAM) -> ArraySlice<UInt8> {
        account?.reads(page)
        #if BrokenEngines
            if let old = account?.pinned[page] { return old[start..<start + length] }
        #endif
        let address = GuestAddress(memory.regions.address(of: PageIndex(page)).rawValue + UInt64(start))
        do throws(AccessError) { return try memory.read(at: address, byteCount: length)[...] } catch {
            preconditionFailure("a page of the guest's: \(error)")
        }
    }

    /// Flips a bit of a header or body, once.
    private func corrupted(_ part: ArraySlice<UInt8>, _ position: Int) -> ArraySlice<UInt8> {
        let place = world.scenario[.corruptAt]
        guard account != nil, place > 0, !world.hasCorrupted, sent >= place else { return part }
        world.hasCorrupted = true
        world.note("a bit of a frame flips")
        var part = part
        // The frame's structure reveals most damage. Only the checksum reveals another page number in the last descriptor.
        let isPage = part.count > FrameHeader.byteCount && world.scheduler.chance(oneIn: 2)
        let index = isPage ? part.endIndex - RunDescriptor.byteCount : world.scheduler.pick(part.startIndex..<part.endIndex)
        part[index] ^= 1 << UInt8(world.scheduler.pick(0..<8))
        return part
    }

    private func receiveSome() -> Bool {
        if discards {
            guard incoming.count > 0 else { return false }
            _ = incoming.pull(chunk)
            return true
        }
        let wanted = wantedBytes
        guard wanted > 0 else { return false }
        guard incoming.count > 0 else { return endIfEnded(wanted) }
        let bytes = incoming.pull(min(chunk, wanted))
        received += bytes.count
        progress += 1
        if case .pages(let pages, let memory, let runs) = stage {
            store(bytes, pages, memory)
            if pagePosition == pages.count * GuestPage.size {
                for run in runs { unsafe memory.withWritablePages(run) { _ in } }
                stage = .header
            }
        } else {
            collected += bytes
            if wanted == bytes.count { completeStage() }
        }
        return true
    }

    private var wantedBytes: Int {
        switch stage {
        case .header: FrameHeader.byteCount - collected.count
        case .body(let header, _): Int(header.bodyBytes) - collected.count
        case .pages(let pages, _, _): pages.count * GuestPage.size - pagePosition
        case .frame, .awaitingPages, .failed: 0
        }
    }

    private func completeStage() {
        do throws(StreamError) {
            switch stage {
            case .header:
                let header = try FrameHeader(decoding: collected, expecting: incomingSequence)
                stage = .body(header, collected)
                collected = []
                if header.bodyBytes == 0 { completeStage() }
            case .body(let header, let fixed):
                try FrameHeader.verify(header: fixed, body: collected, frame: incomingSequence)
                incomingSequence &+= 1
                stage = .frame(header, collected)
                collected = []
            case .frame, .awaitingPages, .pages, .failed: preconditionFailure("bytes came that nobody asked for")
            }
        } catch {
            stage = .failed
            fail(.stream(error))
        }
    }

    /// Stores bytes of pages into guest memory, at most a part of a page at a time.
    private func store(_ bytes: ArraySlice<UInt8>, _ pages: [Int], _ memory: GuestRAM) {
        var rest = bytes
        while !rest.isEmpty {
            let start = pagePosition % GuestPage.size
            let part = rest.prefix(GuestPage.size - start)
            let address = memory.regions.address(of: PageIndex(pages[pagePosition / GuestPage.size]))
            let isInside: Void? = try? memory.write(Array(part), at: GuestAddress(address.rawValue + UInt64(start)))
            precondition(isInside != nil, "a run was checked and is outside")
            pagePosition += part.count
            rest = rest.dropFirst(part.count)
        }
    }

    private func endIfEnded(_ wanted: Int) -> Bool {
        guard incoming.isEnded else { return false }
        if case .header = stage, collected.isEmpty { fail(.closed) } else { fail(.cut(missing: wanted)) }
        stage = .failed
        return true
    }

    private func fail(_ error: TransportError) {
        switch error {
        case .closed: world.reached(.linkCutBetweenFrames)
        case .cut: world.reached(.linkCutInFrame)
        case .stream: world.reached(.frameRefused)
        default: break
        }
        failures.append(error)
        progress += 1
    }

    // MARK: Injuries

    /// Cuts the link around one of the two frames that end a migration: -1 after the first, -2 inside the second, -3 after the second,
    /// losing the bytes on their way, -4 after the second, which arrives.
    private func scheduleCut(_ message: Message) {
        let kinds: (FrameKind, FrameKind) = account == nil ? (.ready, .running) : (.switchover, .commit)
        let before = outgoing.total + messages.reduce(0) { $0 + $1.count - $1.position }
        switch (world.scenario[account == nil ? .cutBackAt : .cutAt], message.frame.kind) {
        case (-1, kinds.0): outgoing.cutAfter = before + message.count
        case (-2, kinds.1): outgoing.cutAfter = before + 20
        case (-3, kinds.1):
            outgoing.cutAfter = before + message.count
            outgoing.losesBytesOnTheWay = true
        case (-4, kinds.1):
            outgoing.cutAfter = before + message.count
            if account != nil { incoming.cut() }
        default: break
        }
    }

    #if BrokenEngines
        /// Keeps a frame back until a later one has passed it, as a second channel would.
        private func overtake(_ message: inout Message, _ account: WireAccount) -> Bool {
            if var late = overtaken {
                if message.pages.isEmpty, message.frame.kind != .switchover { return false }
                overtaken = nil
                if message.frame.kind == .switchover {
                    enqueue(&late)
                    return false
                }
                enqueue(&message)
                enqueue(&late)
                return true
            }
            guard !message.pages.isEmpty, world.scheduler.chance(oneIn: 3), let memory = message.memory else { return false }
            // Its pages were read when the frame was due.
            message.captured = message.pages.map { Array(read($0, 0, GuestPage.size, memory)) }
            overtaken = message
            return true
        }
    #endif
}
