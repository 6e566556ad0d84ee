import Glibc
import GuestMemory
package import Host
import IOUring
package import Migration
import SystemPackage

/// The link to a guest image: it plays the destination's part, and what the source sends becomes a file.
///
///     hello        ->  the partial file, tables                  ->  hello
///     runs         ->  writes straight from guest memory, each page at its fixed offset; holes for zero and free pages
///     round end    ->  tables, sync                              ->  progress
///     switchover   ->  tables, device state, sync                ->  ready
///     commit       ->  header with the completeness mark, sync, rename, sync of the folder  ->  running
///
/// Several writes are under way at a time, and always of different pages: a round begins when the one before is in the file.
final class FileTransport: Transport {
    /// Operations under way at a time.
    static let depth = 16
    /// The most that one write moves.
    static let piecePages = (1 << 20) >> GuestPage.shift
    /// Buffered writes between two flushes: what is left for the sync at the end, while the guest stands still.
    private static let flushBytes = 256 << 20

    var ring: Ring
    var file: PartialFile
    let doorbell: Doorbell
    let sync: ImageSync
    /// Whether writes go past the page cache.
    private(set) var isDirect = false
    var punchesHoles: Bool
    var slots: [FileSlot] = (0..<depth).map(FileSlot.init(number:))
    /// Not started yet.
    var queue: ArraySlice<FileOperation> = []
    var image: Image?
    var memory: GuestRAM?
    /// What the source has not heard yet.
    var answers: ArraySlice<Frame> = []
    private var state = State.open
    private var isDoorbellPolled = false
    private var bytesUntilFlush = flushBytes
    /// When the source ended a round, and how long the file took to settle.
    var roundEnd: MonotonicClock.Instant?
    private(set) var switchOverCost: Duration = .zero

    let isDisk = true
    var pageCount = 0
    var bytesSent = 0
    private(set) var bytesReceived = 0

    /// The image as it is known so far.
    struct Image {
        var header: ImageHeader
        let tables: ImageTables
        var comparison: ImageComparison?
        var state: ImageDeviceState
    }

    private enum State {
        case open
        /// Commit came: a failure now means that there is no image, unless it is in its place already.
        case committing
        /// Nothing more can be done with the file.
        case over
    }

    private static let doorbellToken = UInt64.max

    /// Creates the partial file. Made and used on one thread.
    /// - Parameters:
    ///   - doorbell: wakes `wait(until:)`; it is answered by whoever asked to be woken.
    ///   - punchesHoles: false writes zeros where a hole would be punched, as on file systems that cannot; for tests.
    init(_ path: String, sync: ImageSync, doorbell: Doorbell, punchesHoles: Bool = true) throws(TransportError) {
        do throws(SystemError) { file = try PartialFile(path) } catch {
            throw .system(operation: error.operation, reason: "\(error.place): \(error.code)")
        }
        do throws(RingError) { ring = try Ring(entries: 32, operations: .files) } catch {
            throw .system(operation: "use io_uring", reason: "\(error)")
        }
        self.sync = sync
        self.doorbell = doorbell
        self.punchesHoles = punchesHoles
    }

    deinit {
        giveUp()
        // What is under way ends by itself; a disk that does not answer for a minute is not waited for.
        let deadline = MonotonicClock.now() + .seconds(60)
        while !isIdle, MonotonicClock.now() < deadline {
            try? ring.submitAndWait(timeout: .milliseconds(100))
            while let completion = ring.nextCompletion() {
                if completion.token != Self.doorbellToken { slots[Int(completion.token)].finish() }
            }
        }
        // Its memory, and the guest's, must outlive an operation that never ended.
        for slot in slots where slot.operation != nil { _ = unsafe Unmanaged.passRetained(slot) }
    }

    // MARK: The link

    var canSend: Bool { queue.isEmpty }
    var hasSentAll: Bool { !queue.contains(where: \.isTraffic) && !slots.contains { $0.operation?.isTraffic ?? false } }
    var isIdle: Bool { slots.allSatisfy { $0.operation == nil } }

    func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) {
        precondition(canSend, "the link was handed a frame while it was full")
        if case .abort = frame { return giveUp() }
        self.memory = memory ?? self.memory
        try concluding { () throws(TransportError) in
            try accept(frame)
            try start()
        }
    }

    func takeFrame() throws(TransportError) -> Frame? { answers.popFirst() }

    func receivePages(_ runs: [PageRun], into memory: GuestRAM) { preconditionFailure("a file sends no pages") }
    var hasReceivedPages: Bool { true }
    func discardIncoming(until deadline: ContinuousClock.Instant) {}

    func wait(until deadline: ContinuousClock.Instant?) throws(TransportError) {
        try concluding { () throws(TransportError) in
            let answered = answers.count
            try start()
            // What needed no waiting is news already.
            if answers.count > answered { return }
            try sleep(until: deadline)
            try start()
        }
    }

    private func sleep(until deadline: ContinuousClock.Instant?) throws(TransportError) {
        if !isDoorbellPolled {
            try mapping { (ring: inout Ring) throws(RingError) in try ring.preparePoll(doorbell.descriptor, token: Self.doorbellToken) }
            isDoorbellPolled = true
        }
        let timeout = deadline.map { max(MonotonicClock.now().duration(to: $0), .zero) } ?? .seconds(3600)
        try mapping { (ring: inout Ring) throws(RingError) in try ring.submitAndWait(timeout: timeout) }
        while let completion = ring.nextCompletion() {
            if completion.token == Self.doorbellToken {
                isDoorbellPolled = false
            } else {
                try completed(slots[Int(completion.token)], completion)
            }
        }
    }

    /// Starts what may start, in order.
    private func start() throws(TransportError) {
        guard state != .over else { throw .closed }
        while let next = queue.first {
            if next.mustWait, !isIdle { break }
            if case .then(let step) = next {
                queue.removeFirst()
                try perform(step)
                continue
            }
            guard let slot = slots.first(where: { $0.operation == nil }) else { break }
            queue.removeFirst()
            slot.operation = next
            try begin(next, in: slot)
        }
        try mapping { (ring: inout Ring) throws(RingError) in try ring.submit() }
    }

    private func completed(_ slot: FileSlot, _ completion: Completion) throws(TransportError) {
        guard let operation = slot.operation else { preconditionFailure("a completion that nobody asked for") }
        if let failure = completion.failure {
            // A signal is no end: the same operation goes again.
            if failure == .interrupted || failure == .resourceTemporarilyUnavailable { return try begin(operation, in: slot, again: true) }
            slot.finish()
            return try failed(operation, failure)
        }
        if operation.isTraffic, slot.missing > 0 {
            if completion.result == 0 {
                slot.finish()
                return try failed(operation, .ioError)
            }
            if slot.advance(Int(completion.result)) > 0 { return try begin(operation, in: slot, again: true) }
        }
        finished(operation, in: slot)
        slot.finish()
    }

    /// After so much was written through the page cache, the disk is asked to begin.
    func noteWritten(_ byteCount: Int) {
        bytesSent += byteCount
        guard !isDirect, sync != .none else { return }
        bytesUntilFlush -= byteCount
        if bytesUntilFlush <= 0 {
            bytesUntilFlush = Self.flushBytes
            queue.append(.flush)
        }
    }

    func noteRead(_ byteCount: Int) { bytesReceived += byteCount }

    func noteSettled() {
        guard let roundEnd else { return }
        switchOverCost = roundEnd.duration(to: MonotonicClock.now())
        self.roundEnd = nil
    }

    // MARK: Beginnings and ends

    /// Writes the header without its mark, the first write there is, and so learns whether the file system takes direct writes.
    func writeFirstHeader(_ header: ImageHeader) throws(SystemError) {
        isDirect = file.descriptor.setDirect(true)
        do throws(SystemError) {
            try writeHeader(header)
        } catch {
            guard isDirect, error.code == .invalidArgument else { throw error }
            _ = file.descriptor.setDirect(false)
            isDirect = false
            try writeHeader(header)
        }
    }

    private func writeHeader(_ header: ImageHeader) throws(SystemError) {
        let bytes = header.encode()
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: ImageLayout.blockBytes)
        defer { unsafe block.deallocate() }
        unsafe block.copyBytes(from: bytes)
        let written = try retryingInterrupts("write the header", place: file.partialPath) {
            unsafe pwrite(file.descriptor.number, block.baseAddress!, block.count, 0)
        }
        guard written == bytes.count else { throw SystemError("write the header", place: file.partialPath, code: .ioError) }
    }

    func beginCommit() { state = .committing }

    /// The source gave up, or something failed: the file goes at once, whatever the disk is still busy with.
    func giveUp() {
        state = .over
        queue = []
        file.discard()
    }

    /// A failure is the end of the file. Before it was put in its place, nobody will ever start a guest from it, and that is said.
    private func concluding(_ body: () throws(TransportError) -> Void) throws(TransportError) {
        do throws(TransportError) { try body() } catch {
            let wasCommitting = state == .committing && !file.isPublished
            let wasOver = state == .over
            giveUp()
            throw wasCommitting && !wasOver ? .notCommitted("\(error)") : error
        }
    }

    func mapping(_ body: (inout Ring) throws(RingError) -> Void) throws(TransportError) {
        do throws(RingError) { try body(&ring) } catch { throw .system(operation: "write the image \(file.path)", reason: "\(error)") }
    }
}

/// A link to an image with a chosen way of making holes, for tests of both.
package func makeFileTransport(_ path: String, doorbell: Doorbell, punchesHoles: Bool = true) throws(TransportError) -> any Transport {
    try FileTransport(path, sync: .none, doorbell: doorbell, punchesHoles: punchesHoles)
}
