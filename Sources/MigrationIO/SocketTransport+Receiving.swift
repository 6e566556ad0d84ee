import AerostatGuestMemory
import AerostatHost
import AerostatIOUring
import AerostatMigration
import CLiburing
import SystemPackage

/// The frame that is being received, and where its parts are stored.
@safe
final class IncomingMessage {
    enum Stage {
        /// Nothing was requested.
        case idle
        case header
        case body(FrameHeader)
        /// A complete frame waits to be taken.
        case frame(FrameHeader)
        /// A runs frame was taken. Its pages have not been requested yet.
        case awaitingPages
        case pages([PageRun], GuestRAM)
    }

    var stage = Stage.idle
    var sequence: UInt32 = 0
    /// Header and body. Grows to lengths that were checked against their maxima.
    var bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    var bodyBytes = 0
    var pieces = ScatterGather()
    /// Runs that did not fit into one message.
    var waiting: ArraySlice<PageRun> = []
    var missing = 0

    deinit { unsafe bytes.deallocate() }

    var header: [UInt8] { unsafe Array(bytes[..<FrameHeader.byteCount]) }
    var body: [UInt8] { unsafe Array(bytes[FrameHeader.byteCount..<FrameHeader.byteCount + bodyBytes]) }

    /// Stores the frame here as if it had just been received.
    func fill(_ first: FirstFrame) {
        reserve(first.byteCount)
        unsafe bytes.copyBytes(from: first.headerBytes + first.body)
        (bodyBytes, sequence, stage) = (first.body.count, 1, .frame(first.header))
    }

    func reserve(_ count: Int) {
        guard unsafe count > bytes.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        unsafe larger.copyMemory(from: UnsafeRawBufferPointer(bytes))
        unsafe bytes.deallocate()
        unsafe bytes = larger
    }

    /// Lists the next pieces of guest memory.
    func gather(into memory: GuestRAM) {
        pieces.removeAll()
        let now = waiting.prefix(ScatterGather.maximumPieces)
        for run in now { unsafe pieces.append(memory.hostAddress(of: run), run.byteCount) }
        waiting = waiting.dropFirst(now.count)
        missing = pieces.advance(0)
    }
}

extension SocketTransport {
    var hasReceivedPages: Bool {
        if case .pages = incoming.stage { return false }
        return true
    }

    /// Requests a frame whenever nothing else is requested.
    func startReceivingFrameIfIdle() throws(TransportError) {
        guard case .idle = incoming.stage else { return }
        incoming.stage = .header
        try receiveBytes(at: 0, count: FrameHeader.byteCount)
    }

    private func receiveBytes(at offset: Int, count: Int) throws(TransportError) {
        incoming.reserve(offset + count)
        incoming.pieces.removeAll()
        unsafe incoming.pieces.append(incoming.bytes.baseAddress! + offset, count)
        incoming.missing = incoming.pieces.advance(0)
        try submitReceive()
    }

    private func submitReceive() throws(TransportError) {
        try mapping("receive") { (ring: inout Ring) throws(RingError) in
            try unsafe ring.prepareReceive(socket.number, message: incoming.pieces.message, token: Token.receive.rawValue)
        }
    }

    /// - Returns: whether a frame, or its pages, are now complete.
    func receiveCompleted(_ completion: Completion) throws(TransportError) -> Bool {
        if let failure = completion.failure {
            if failure == .interrupted || failure == .resourceTemporarilyUnavailable {
                try submitReceive()
                return false
            }
            throw .system(operation: "receive from the other side", reason: "\(failure)")
        }
        if completion.result == 0 {
            if case .header = incoming.stage, incoming.missing == FrameHeader.byteCount { throw .closed }
            throw .cut(missing: incoming.missing)
        }
        bytesReceived += Int(completion.result)
        incoming.missing = incoming.pieces.advance(Int(completion.result))
        if incoming.missing > 0 {
            try submitReceive()
            return false
        }
        do throws(StreamError) { try stageCompleted() } catch { throw .stream(error) }
        if case .body(let header) = incoming.stage, header.bodyBytes > 0 {
            try receiveBytes(at: FrameHeader.byteCount, count: Int(header.bodyBytes))
            return false
        }
        if case .pages(_, let memory) = incoming.stage {
            try receiveMorePages(memory)
            return false
        }
        return true
    }

    private func stageCompleted() throws(StreamError) {
        switch incoming.stage {
        case .header:
            let header = try FrameHeader(decoding: incoming.header, expecting: incoming.sequence)
            incoming.bodyBytes = Int(header.bodyBytes)
            incoming.stage = header.bodyBytes == 0 ? try completeFrame(header) : .body(header)
        case .body(let header):
            incoming.stage = try completeFrame(header)
        case .pages(let runs, let memory):
            guard incoming.waiting.isEmpty else { return }
            // The kernel wrote guest memory, so tell the write door (rule "every writer is tracked").
            for run in runs { memory.markWritten(run) }
            incoming.stage = .idle
        case .idle, .frame, .awaitingPages:
            preconditionFailure("bytes came that nobody asked for")
        }
    }

    private func completeFrame(_ header: FrameHeader) throws(StreamError) -> IncomingMessage.Stage {
        try FrameHeader.verify(header: incoming.header, body: incoming.body, frame: incoming.sequence)
        incoming.sequence &+= 1
        return .frame(header)
    }

    private func receiveMorePages(_ memory: GuestRAM) throws(TransportError) {
        incoming.gather(into: memory)
        try submitReceive()
    }

    func takeFrame() throws(TransportError) -> Frame? {
        guard case .frame(let header) = incoming.stage else { return nil }
        do throws(StreamError) {
            let frame = try Frame(header, body: incoming.body, pageCount: pageCount)
            incoming.stage = header.payloadBytes > 0 ? .awaitingPages : .idle
            return frame
        } catch {
            throw .stream(error)
        }
    }

    func receivePages(_ runs: [PageRun], into memory: GuestRAM) throws(TransportError) {
        guard case .awaitingPages = incoming.stage else {
            precondition(runs.isEmpty, "pages are received where none follow")
            return
        }
        incoming.stage = .pages(runs, memory)
        incoming.waiting = runs.flatMap(memory.contiguousParts)[...]
        try receiveMorePages(memory)
    }
}
