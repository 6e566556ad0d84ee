import AerostatGuestMemory
package import AerostatHost
import AerostatIOUring
package import AerostatMigration
import Glibc
import SystemPackage

/// The link to a guest image. It plays the destination's part and writes what the source sends into a file.
///
///     hello        ->  the partial file, a header without mark   ->  hello
///     runs         ->  writes directly from guest memory, each page at its fixed offset; holes for zero and free pages
///     round end    ->  tables, sync                              ->  progress
///     switchover   ->  tables, device state, sync, header with the completeness mark, sync  ->  ready
///     commit       ->  rename, sync of the folder                ->  running
///
/// Only `wait(until:)` waits for the disk. Reads and writes go through the ring; everything else is done by a separate thread
/// (`FileErrands`). The source may back out until the rename, even if the disk hangs.
///
/// Several writes are in progress at a time, always of different pages: a round begins only when the previous one is in the file.
final class FileTransport: Transport {
    /// The number of operations in progress at a time.
    static let depth = 16
    /// The most pages that one write moves.
    static let piecePages = (1 << 20) >> GuestPage.shift
    /// The number of buffered bytes between two flushes. It bounds what is left for the final sync, while the guest is paused.
    private static let flushBytes = 256 << 20

    var ring: Ring
    let path: String
    let errands: FileErrands
    /// The errand that the other thread is doing.
    var errand: (errand: FileErrands.Errand, since: MonotonicClock.Instant)?
    /// The partial file; `nil` until it was created.
    private(set) var file: OutputFile?
    let doorbell: Doorbell
    let sync: ImageSync
    /// Whether writes bypass the page cache.
    private(set) var isDirect = false
    var punchesHoles: Bool
    var slots: [FileSlot] = (0..<depth).map(FileSlot.init(number:))
    /// Operations that have not started yet.
    var queue: ArraySlice<FileOperation> = []
    var image: Image?
    var memory: GuestRAM?
    /// Frames that the source has not taken yet.
    var answers: ArraySlice<Frame> = []
    private var state = State.open
    /// Whether the driver's doorbell and the errands' doorbell are polled.
    private var isPolled = (doorbell: false, errands: false)
    private var bytesUntilFlush = flushBytes
    /// When the source ended a round, and how long the file then took to be complete.
    var roundEnd: MonotonicClock.Instant?
    private(set) var switchOverCost: Duration = .zero

    let isDisk = true
    var pageCount = 0
    var bytesSent = 0
    private(set) var bytesReceived = 0

    /// What is known of the image so far.
    struct Image {
        var header: ImageHeader
        let tables: ImageTables
        var comparison: ImageComparison?
        var state: ImageDeviceState
    }

    private enum State {
        case open
        /// Commit arrived, and nothing was renamed: a failure means that there is no image.
        case committing
        /// The rename was handed over: after a failure the outcome is unknown.
        case renaming
        case published
        /// Nothing more can be done with the file.
        case over
    }

    private static let doorbellToken = UInt64.max
    private static let errandsToken = UInt64.max - 1

    /// Created and used on one thread.
    /// - Parameters:
    ///   - doorbell: wakes `wait(until:)`. The caller that asked to be woken answers it.
    ///   - punchesHoles: false writes zeros instead of punching holes, as on file systems that cannot punch them; for tests.
    ///   - calls: replacements for the kernel's calls; for tests.
    init(
        _ path: String,
        sync: ImageSync,
        doorbell: Doorbell,
        punchesHoles: Bool = true,
        calls: FileCalls = .system
    ) throws(TransportError) {
        do throws(SystemError) { errands = try FileErrands(path, calls) } catch {
            throw .system(operation: error.operation, reason: "\(error.place): \(error.code)")
        }
        do throws(RingError) { ring = try Ring(entries: 32, operations: .files) } catch {
            errands.end()
            throw .system(operation: "use io_uring", reason: "\(error)")
        }
        self.path = path
        self.sync = sync
        self.doorbell = doorbell
        self.punchesHoles = punchesHoles
    }

    deinit {
        giveUp()
        // Operations in progress end by themselves. A disk that does not answer within a minute is not waited for.
        let deadline = MonotonicClock.now() + .seconds(60)
        while slots.contains(where: { $0.operation != nil }), MonotonicClock.now() < deadline {
            try? sleep(until: MonotonicClock.now() + .milliseconds(100))
        }
        // The memory of an operation that never ended, and the guest's, must outlive this object.
        for slot in slots where slot.operation != nil { _ = unsafe Unmanaged.passRetained(slot) }
    }

    // MARK: The link

    var canSend: Bool { queue.isEmpty && errand == nil }
    var hasSentAll: Bool {
        // Nothing is left to send for a file that was given up.
        if state == .over { return errands.hasEnded }
        return !queue.contains(where: \.isTraffic) && !slots.contains { $0.operation?.isTraffic ?? false }
    }
    var isIdle: Bool { errand == nil && slots.allSatisfy { $0.operation == nil } }

    func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) {
        if case .abort = frame { return giveUp() }
        precondition(canSend, "the link was handed a frame while it was full")
        self.memory = memory ?? self.memory
        try concluding { () throws(TransportError) in
            if case .commit = frame { state = .committing }
            try accept(frame)
            try start()
        }
    }

    func takeFrame() throws(TransportError) -> Frame? { answers.popFirst() }

    func receivePages(_ runs: [PageRun], into memory: GuestRAM) { preconditionFailure("a file sends no pages") }
    var hasReceivedPages: Bool { true }
    func discardIncoming(until deadline: ContinuousClock.Instant) {}

    func wait(until deadline: ContinuousClock.Instant?) throws(TransportError) {
        if state == .over {
            // The file is being removed.
            guard !errands.hasEnded else { throw .closed }
            return try sleep(until: deadline)
        }
        try concluding { () throws(TransportError) in
            let answered = answers.count
            try start()
            // An answer that needed no waiting is news already.
            if answers.count > answered { return }
            try sleep(until: deadline)
            try start()
        }
    }

    private func sleep(until deadline: ContinuousClock.Instant?) throws(TransportError) {
        if !isPolled.doorbell {
            try mapping { (ring: inout Ring) throws(RingError) in try ring.preparePoll(doorbell.descriptor, token: Self.doorbellToken) }
            isPolled.doorbell = true
        }
        if !isPolled.errands {
            try mapping { (ring: inout Ring) throws(RingError) in
                try ring.preparePoll(errands.doorbell.descriptor, token: Self.errandsToken)
            }
            isPolled.errands = true
        }
        let timeout = deadline.map { max(MonotonicClock.now().duration(to: $0), .zero) } ?? .seconds(3600)
        try mapping { (ring: inout Ring) throws(RingError) in try ring.submitAndWait(timeout: timeout) }
        while let completion = ring.nextCompletion() {
            switch completion.token {
            case Self.doorbellToken: isPolled.doorbell = false
            case Self.errandsToken:
                isPolled.errands = false
                errands.doorbell.answer()
            default: try completed(slots[Int(completion.token)], completion)
            }
        }
        if state != .over { try takeErrand() }
    }

    /// Starts the operations that may start, in order.
    private func start() throws(TransportError) {
        guard state != .over else { throw .closed }
        while errand == nil, let next = queue.first {
            if next.mustWait, !isIdle { break }
            if case .then(let step) = next {
                queue.removeFirst()
                perform(step)
                continue
            }
            if case .errand(let errand) = next {
                queue.removeFirst()
                begin(errand)
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
        // The operation was still in progress when everything was given up.
        if state == .over { return slot.finish() }
        if let failure = completion.failure {
            // A signal does not end the operation: submit it again.
            if failure == .interrupted || failure == .resourceTemporarilyUnavailable { return try begin(operation, in: slot, again: true) }
            if failure == .invalidArgument, operation.isTraffic, slot.isDirect {
                // The file system does not support direct writes as it claimed.
                if isDirect { isDirect = !(file?.setDirect(false) ?? false) }
                return try begin(operation, in: slot, again: true)
            }
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

    /// Counts written bytes. After a certain number through the page cache, asks the disk to start writing.
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

    /// The partial file was created.
    func useFile() {
        file = errands.file
        isDirect = file?.setDirect(true) ?? false
    }

    func noteRenaming() { state = .renaming }
    func noteNotRenamed() { state = .committing }
    func notePublished() { state = .published }

    /// The source gave up, or something failed. The file is removed as soon as the disk allows. Nobody waits for that here.
    private func giveUp() {
        state = .over
        queue = []
        errands.end()
    }

    /// A failure ends the file. If it was not renamed yet, nobody will ever start a guest from it, and the error says so.
    private func concluding(_ body: () throws(TransportError) -> Void) throws(TransportError) {
        do throws(TransportError) { try body() } catch {
            let last = state
            giveUp()
            switch last {
            case .committing: throw .notCommitted("\(error)")
            case .open, .renaming, .published, .over: throw error
            }
        }
    }

    func mapping(_ body: (inout Ring) throws(RingError) -> Void) throws(TransportError) {
        do throws(RingError) { try body(&ring) } catch { throw .system(operation: "write the image \(path)", reason: "\(error)") }
    }
}

/// A link to an image with chosen hole handling and file calls, for tests.
package func makeFileTransport(
    _ path: String,
    doorbell: Doorbell,
    punchesHoles: Bool = true,
    calls: FileCalls = .system
) throws(TransportError) -> any Transport {
    try FileTransport(path, sync: .none, doorbell: doorbell, punchesHoles: punchesHoles, calls: calls)
}
