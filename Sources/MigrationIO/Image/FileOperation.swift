import AerostatGuestMemory
import AerostatHost
import AerostatMigration

/// An operation on an image file. Operations are queued in order. They run in parallel, up to the next one that must wait.
enum FileOperation {
    /// Writes guest memory to its place in the file.
    case pages(PageRun)
    /// Writes blocks of the tables, by number.
    case tables(Range<Int>)
    /// Writes whole blocks at any offset.
    case bytes([UInt8], offset: Int)
    /// Removes the old data of pages, which become a hole again.
    case punch(PageRun)
    /// Removes the old data by writing zeros, if the file system cannot punch holes.
    case zeros(PageRun)
    /// Reads pages back and compares them with the source's digests, one for each page.
    case compare(PageRun, ArraySlice<UInt64>)
    /// Waits until all of the file is on the disk. Earlier writes must have completed.
    case sync
    /// Starts writing the file to the disk without waiting for it, so that little is left for the next `sync`.
    case flush
    case syncFolder
    /// Done by another thread, after everything before it has completed.
    case errand(FileErrands.Errand)
    /// Done after everything before it has completed.
    case then(FileStep)

    /// Whether it may start only after everything before it has completed.
    var mustWait: Bool {
        switch self {
        case .sync, .syncFolder, .errand, .then: true
        case .pages, .tables, .bytes, .punch, .zeros, .compare, .flush: false
        }
    }

    /// Whether it moves bytes, so that waiting for it counts as waiting for the link.
    var isTraffic: Bool {
        switch self {
        case .pages, .tables, .bytes, .punch, .zeros, .compare: true
        case .sync, .flush, .syncFolder, .errand, .then: false
        }
    }
}

/// A step between operations.
enum FileStep {
    /// Does nothing but wait, so that a page that is sent again is written after its older bytes (rule "order per page").
    case barrier
    case writeTables
    case answer(Frame)
    /// The guest is paused and all pages have arrived. Tables and device state follow.
    case writeRest
    /// All of it is in the file. The completeness mark follows, unless verification found a difference.
    case seal
    case answerReady
}

/// Room for one operation in progress, with the memory that the kernel uses for it.
@safe
final class FileSlot {
    /// The size of one staging buffer.
    static let stagingBytes = 256 << 10
    static let stagingPages = stagingBytes >> GuestPage.shift

    let number: Int
    var operation: FileOperation? { didSet { since = MonotonicClock.now() } }
    /// When the operation began.
    private(set) var since = MonotonicClock.now()
    /// Whether the operation bypasses the page cache.
    var isDirect = false
    /// The remaining part of a read or write.
    private(set) var address: UnsafeMutableRawPointer?
    private(set) var offset = 0
    private(set) var missing = 0
    /// Keeps the guest's mapping alive while the kernel reads from it.
    private var memory: GuestRAM?
    private var staging: UnsafeMutableRawBufferPointer?

    init(number: Int) { self.number = number }

    deinit { unsafe staging?.deallocate() }

    /// Private memory that is suitable for direct reads and writes. Reused without being cleared.
    private func buffer() -> UnsafeMutableRawBufferPointer {
        if let staging = unsafe staging { return unsafe staging }
        let made = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.stagingBytes, alignment: ImageLayout.blockBytes)
        unsafe staging = made
        return unsafe made
    }

    func aim(at run: PageRun, of memory: GuestRAM, offset: Int) {
        self.memory = memory
        unsafe address = memory.hostAddress(of: run)
        (self.offset, missing) = (offset, run.byteCount)
    }

    /// Takes a staging buffer of `byteCount` bytes for the operation. `fill` writes the outgoing bytes.
    func stage(_ byteCount: Int, offset: Int, fill: (UnsafeMutableRawBufferPointer) -> Void) {
        precondition(byteCount > 0 && byteCount <= Self.stagingBytes, "more than one staging buffer")
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer()[..<byteCount])
        unsafe fill(target)
        unsafe address = target.baseAddress
        (self.offset, missing) = (offset, byteCount)
    }

    /// Notes that some bytes were moved.
    /// - Returns: the number of bytes left.
    func advance(_ byteCount: Int) -> Int {
        precondition(byteCount <= missing, "more was moved than was asked for")
        unsafe address = address.map { unsafe $0 + byteCount }
        offset += byteCount
        missing -= byteCount
        return missing
    }

    /// The digest of a page that was read into the staging buffer.
    func digest(ofStagedPage index: Int) -> UInt64 {
        unsafe PageDigest.digest(UnsafeRawPointer(buffer().baseAddress! + index << GuestPage.shift))
    }

    func finish() {
        operation = nil
        memory = nil
        missing = 0
        unsafe address = nil
    }
}
