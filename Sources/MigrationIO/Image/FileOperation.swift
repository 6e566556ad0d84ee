import AerostatGuestMemory
import AerostatHost
import AerostatMigration

/// What is done to an image file, in order. Operations run side by side, up to the next one that must wait.
enum FileOperation {
    /// Bytes of guest memory to their place.
    case pages(PageRun)
    /// Blocks of the tables, by number.
    case tables(Range<Int>)
    /// Whole blocks to any place.
    case bytes([UInt8], offset: Int)
    /// What pages held before goes: they are a hole again.
    case punch(PageRun)
    /// The same where the file system cannot punch holes.
    case zeros(PageRun)
    /// Reads pages back and compares them with the source's digests, one a page.
    case compare(PageRun, ArraySlice<UInt64>)
    /// Waits until all of the file is on the disk. What was written before must have completed.
    case sync
    /// Starts that and goes on, so that little is left for the next `sync`.
    case flush
    case syncFolder
    /// Done by another thread, when everything before has completed.
    case errand(FileErrands.Errand)
    /// Done when everything before has completed.
    case then(FileStep)

    /// Whether it may only start when everything before it has completed.
    var mustWait: Bool {
        switch self {
        case .sync, .syncFolder, .errand, .then: true
        case .pages, .tables, .bytes, .punch, .zeros, .compare, .flush: false
        }
    }

    /// Whether it moves bytes, so that waiting for it is waiting for the link.
    var isTraffic: Bool {
        switch self {
        case .pages, .tables, .bytes, .punch, .zeros, .compare: true
        case .sync, .flush, .syncFolder, .errand, .then: false
        }
    }
}

/// What happens between operations.
enum FileStep {
    /// Nothing but having waited: a page that comes again is written after its older bytes (rule "order per page").
    case barrier
    case writeTables
    case answer(Frame)
    /// The guest stands still and all pages are there: tables and device state follow.
    case writeRest
    /// All of it is in the file: its mark follows, unless verification found a difference.
    case seal
    case answerReady
}

/// A place for one operation under way, with the memory that the kernel uses for it.
@safe
final class FileSlot {
    /// Bytes that one staging buffer holds.
    static let stagingBytes = 256 << 10
    static let stagingPages = stagingBytes >> GuestPage.shift

    let number: Int
    var operation: FileOperation? { didSet { since = MonotonicClock.now() } }
    /// When the operation began.
    private(set) var since = MonotonicClock.now()
    /// Whether the operation goes past the page cache.
    var isDirect = false
    /// What is left of a read or write.
    private(set) var address: UnsafeMutableRawPointer?
    private(set) var offset = 0
    private(set) var missing = 0
    /// Keeps the guest's mapping alive while the kernel reads from it.
    private var memory: GuestRAM?
    private var staging: UnsafeMutableRawBufferPointer?

    init(number: Int) { self.number = number }

    deinit { unsafe staging?.deallocate() }

    /// Private memory that direct reads and writes can use; zeroed only when made.
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

    /// Takes a staging buffer of so many bytes for the operation; `fill` writes what goes out.
    func stage(_ byteCount: Int, offset: Int, fill: (UnsafeMutableRawBufferPointer) -> Void) {
        precondition(byteCount > 0 && byteCount <= Self.stagingBytes, "more than one staging buffer")
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer()[..<byteCount])
        unsafe fill(target)
        unsafe address = target.baseAddress
        (self.offset, missing) = (offset, byteCount)
    }

    /// Some bytes were moved.
    /// - Returns: how many are left.
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
