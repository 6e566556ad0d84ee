import AerostatGuestMemory
import AerostatHost
import AerostatIOUring
import AerostatMigration
import SystemPackage

/// Reads an image's pages, several pieces under way at a time, past the page cache where the file system can.
@safe
final class FileReads {
    /// Reads under way at a time.
    private static let depth = 16
    /// The most that one read moves.
    static let piecePages = (1 << 20) >> GuestPage.shift

    private let image: GuestImage
    private let doorbell: Doorbell?
    private var ring: Ring
    private var isDirect: Bool
    private var slots = [Slot](repeating: Slot(), count: depth)
    /// Pages arrive here; without it each slot has a buffer of its own.
    private let memory: GuestRAM?

    @safe private struct Slot {
        var run: PageRun?
        var address: UnsafeMutableRawPointer?
        /// What is left to be read, and where it lies in the file.
        var missing = 0
        var offset = 0
        var isDirect = false
        var buffer: UnsafeMutableRawBufferPointer?
    }

    /// - Parameter doorbell: ends the reading early.
    init(_ image: GuestImage, into memory: GuestRAM?, doorbell: Doorbell?) throws(ImageError) {
        do throws(RingError) { ring = try Ring(entries: 32, operations: .files) } catch {
            throw .system(operation: "use io_uring", path: image.path, reason: "\(error)")
        }
        self.image = image
        self.memory = memory
        self.doorbell = doorbell
        isDirect = image.file.setDirect(true)
    }

    deinit {
        _ = image.file.setDirect(false)
        for slot in slots where slot.run == nil { unsafe slot.buffer?.deallocate() }
    }

    /// Reads runs of at most `piecePages` until there are no more.
    /// - Parameters:
    ///   - next: the next run.
    ///   - arrived: its bytes are there, and stay until this returns.
    func run(
        next: () throws(ImageError) -> PageRun?,
        arrived: (PageRun, UnsafeRawPointer) throws(ImageError) -> Void
    ) throws(ImageError) {
        do throws(ImageError) {
            try fill(next)
            while ring.inFlight > 0 {
                if doorbell?.answer() ?? false { throw .interrupted }
                try mapping { (ring: inout Ring) throws(RingError) in try ring.submitAndWait(timeout: .milliseconds(100)) }
                while let completion = ring.nextCompletion() {
                    guard let run = try completed(completion) else { continue }
                    let index = Int(completion.token)
                    unsafe try arrived(run, unsafe UnsafeRawPointer(slots[index].address! - run.byteCount))
                    slots[index].run = nil
                    // The disk goes on while the next piece that has arrived is looked at.
                    try fill(next)
                }
            }
        } catch {
            drain()
            throw error
        }
    }

    private func fill(_ next: () throws(ImageError) -> PageRun?) throws(ImageError) {
        for index in slots.indices where slots[index].run == nil {
            guard let run = try next() else { break }
            precondition(run.count <= Self.piecePages, "more than one read")
            slots[index].run = run
            unsafe slots[index].address = target(of: run, index)
            (slots[index].offset, slots[index].missing) = (image.header.layout.offset(of: run.first), run.byteCount)
            try begin(index)
        }
        try mapping { (ring: inout Ring) throws(RingError) in try ring.submit() }
    }

    @unsafe private func target(of run: PageRun, _ index: Int) -> UnsafeMutableRawPointer {
        if let memory { return unsafe memory.hostAddress(of: run) }
        if unsafe slots[index].buffer == nil {
            unsafe slots[index].buffer = .allocate(byteCount: Self.piecePages << GuestPage.shift, alignment: ImageLayout.blockBytes)
        }
        return unsafe slots[index].buffer!.baseAddress!
    }

    /// Hands over what is left of a slot's read.
    private func begin(_ index: Int) throws(ImageError) {
        slots[index].isDirect = isDirect
        let slot = slots[index]
        try mapping { (ring: inout Ring) throws(RingError) in
            unsafe try ring.prepareRead(
                image.file.number,
                into: slot.address!,
                count: slot.missing,
                at: UInt64(slot.offset),
                token: UInt64(index)
            )
        }
    }

    /// - Returns: the run whose last bytes these were.
    private func completed(_ completion: Completion) throws(ImageError) -> PageRun? {
        let index = Int(completion.token)
        guard let run = slots[index].run else { preconditionFailure("a completion that nobody asked for") }
        if let failure = completion.failure {
            switch failure {
            case .interrupted, .resourceTemporarilyUnavailable: break
            case .invalidArgument where slots[index].isDirect:
                // The file system promised more than it keeps, or the file ends inside a block now.
                if isDirect { _ = image.file.setDirect(false) }
                isDirect = false
            default:
                slots[index].run = nil
                throw .system(operation: "read \(run) at offset \(slots[index].offset)", path: image.path, reason: "\(failure)")
            }
            try begin(index)
            return nil
        }
        guard completion.result > 0 else {
            slots[index].run = nil
            throw .length(expected: image.header.fileBytes, found: slots[index].offset)
        }
        let count = Int(completion.result)
        precondition(count <= slots[index].missing, "more was read than was asked for")
        unsafe slots[index].address = slots[index].address! + count
        slots[index].offset += count
        slots[index].missing -= count
        if slots[index].missing == 0 { return run }
        try begin(index)
        return nil
    }

    /// Waits until the kernel writes to none of the memory any more. A disk that does not answer for a minute is not waited for: then
    /// the memory stays for good.
    private func drain() {
        let deadline = MonotonicClock.now() + .seconds(60)
        while ring.inFlight > 0, MonotonicClock.now() < deadline {
            try? ring.submitAndWait(timeout: .milliseconds(100))
            while let completion = ring.nextCompletion() { slots[Int(completion.token)].run = nil }
        }
        if ring.inFlight > 0, let memory { _ = unsafe Unmanaged.passRetained(memory) }
    }

    private func mapping(_ body: (inout Ring) throws(RingError) -> Void) throws(ImageError) {
        do throws(RingError) { try body(&ring) } catch {
            throw .system(operation: "read the image", path: image.path, reason: "\(error)")
        }
    }
}
