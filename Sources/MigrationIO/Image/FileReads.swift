import AerostatGuestMemory
import AerostatHost
import AerostatIOUring
import AerostatMigration
import SystemPackage

/// Reads an image's pages, with several reads in progress at a time. Bypasses the page cache if the file system can.
@safe
final class FileReads {
    /// The number of reads in progress at a time.
    private static let depth = 16
    /// The most pages that one read moves.
    static let piecePages = (1 << 20) >> GuestPage.shift

    private let image: GuestImage
    private let doorbell: Doorbell?
    private var ring: Ring
    private var isDirect: Bool
    private var slots = [Slot](repeating: Slot(), count: depth)
    /// The pages are read into this memory. If `nil`, each slot has a buffer of its own.
    private let memory: GuestRAM?

    @safe private struct Slot {
        var run: PageRun?
        var address: UnsafeMutableRawPointer?
        /// The number of bytes left to read, and their offset in the file.
        var missing = 0
        var offset = 0
        var isDirect = false
        var buffer: UnsafeMutableRawBufferPointer?
    }

    /// - Parameter doorbell: ends the read early.
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
    ///   - next: returns the next run; `nil` at the end.
    ///   - arrived: called when the run's bytes are there. They stay there until this returns.
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
                    // Keep the disk busy while the next completed piece is processed.
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

    /// Submits the remaining part of a slot's read.
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

    /// - Returns: the run that is now complete, if any.
    private func completed(_ completion: Completion) throws(ImageError) -> PageRun? {
        let index = Int(completion.token)
        guard let run = slots[index].run else { preconditionFailure("a completion that nobody asked for") }
        if let failure = completion.failure {
            switch failure {
            case .interrupted, .resourceTemporarilyUnavailable: break
            case .invalidArgument where slots[index].isDirect:
                // The file system does not support direct reads as it claimed, or the file now ends inside a block.
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

    /// Waits until the kernel no longer writes to any of the memory. If the disk does not answer within a minute, this stops waiting and
    /// leaks the memory.
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
