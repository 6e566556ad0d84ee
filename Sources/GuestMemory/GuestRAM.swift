public import AerostatHost
import CLinux
import Synchronization

/// An access by guest-physical address that does not lie completely in one region of RAM.
public struct AccessError: Error, Hashable, Sendable, CustomStringConvertible {
    public let address: GuestAddress
    public let byteCount: Int

    @inlinable
    public init(address: GuestAddress, byteCount: Int) {
        self.address = address
        self.byteCount = byteCount
    }

    public var description: String { "guest address \(address) with \(byteCount) bytes is not in RAM" }
}

/// A guest's RAM: the guest-physical space that its regions reserve, and the blocks of memory that are present in it.
///
/// The regions are laid out once, for all the memory that the guest may ever have. Their pages are numbered end to end, and page p lies at
/// `base + p * 4096` in one reservation of host addresses. Only a block that was adopted by address lies elsewhere. Memory without a block
/// is *absent*: it has page numbers but no backing, and an access to it is an error, like one outside RAM. `plug` and `unplug` make memory
/// present and absent while the guest runs.
///
/// Every write by this process goes through this class, which marks it in the software log while that is on (rule "every writer is
/// tracked").
///
/// Locks: `pieces` is taken before `layout`. Subscribers to discards are called with neither lock held.
// @unchecked: the mapping's address never changes. Its bytes are shared with the guest by nature, so nothing here makes a Span or an array
// over them: copies are bounded, and fields that synchronise with the guest are atomics.
@safe
public final class GuestRAM: @unchecked Sendable {
    public let regions: RegionTable
    let mapping: Mapping
    /// The first block, where most accesses go; it is never unplugged.
    @usableFromInline let first: FirstBlock
    /// Pages that were written through the door while `isLoggingWrites` was true.
    package let writeLog: PageSet
    private let logging = Atomic<Bool>(false)
    /// The image that pages are loaded from when touched; `nil` if all memory is anonymous.
    let image: ImageBacking?
    private let watch: ImageFaultGuard?
    /// Held while mappings are replaced, and while the kernel is asked about all of them.
    let layout: Monitor<Layout>
    /// The memory that is present. Scans and discards hold it for reading, plugging and unplugging for writing.
    let pieces: ReadWriteLock<MemoryPieces>
    /// Pages that are absent. Only consulted once `hasAbsentPages` is true.
    let absent: PageSet
    let hasAbsentPages = Atomic<Bool>(false)
    let foreign = ForeignPlaces()
    let subscribers = DiscardSubscribers()

    /// The parts of the memory's mapping that change.
    struct Layout {
        /// The most mappings that the kernel keeps for this memory.
        var mappings: Int
        /// The userfaultfd that tracks all of the memory while a tracker is armed.
        var fault: Int32?
    }

    /// The block at page 0; empty if there is none.
    @usableFromInline
    @safe
    struct FirstBlock {
        @usableFromInline let base: UInt64
        @usableFromInline let byteCount: UInt64
        @usableFromInline let host: UnsafeMutableRawPointer

        init(base: UInt64, byteCount: UInt64, host: UnsafeMutableRawPointer) {
            self.base = base
            self.byteCount = byteCount
            unsafe self.host = host
        }
    }

    /// The pages of all regions together.
    public var pageCount: Int { regions.pageCount }

    /// Makes all regions present, as private anonymous memory. None of it is populated.
    public convenience init(_ regions: RegionTable) throws(SystemError) {
        try self.init(regions, Mapping(anonymousByteCount: Int(regions.byteCount)), nil, nil)
    }

    /// Makes all regions present, as private memory that is mapped already.
    convenience init(
        _ regions: RegionTable,
        _ mapping: consuming Mapping,
        _ image: ImageBacking?,
        _ watch: consuming ImageFaultGuard?
    ) throws(SystemError) {
        let host = unsafe mapping.base
        let block = unsafe FirstBlock(base: regions.regions[0].base.rawValue, byteCount: regions.regions[0].byteCount, host: host)
        try self.init(regions, mapping, image, watch, block)
        pieces.update { pieces in
            for region in regions.regions {
                let pages = PageRun(first: regions.page(containing: region.base)!, count: region.pageCount)
                pieces.insert(privatePiece(pages))
            }
        }
    }

    /// Starts with nothing present.
    init(
        _ regions: RegionTable,
        _ mapping: consuming Mapping,
        _ image: ImageBacking?,
        _ watch: consuming ImageFaultGuard?,
        _ first: FirstBlock
    ) throws(SystemError) {
        self.watch = watch
        self.regions = regions
        self.mapping = mapping
        self.image = image
        self.first = first
        layout = Monitor(Layout(mappings: image?.mappings ?? 1))
        pieces = ReadWriteLock(MemoryPieces())
        absent = try PageSet(pageCount: regions.pageCount)
        writeLog = try PageSet(pageCount: regions.pageCount)
    }

    // MARK: The write door

    /// Whether writes through the door are being logged. Only trackers set this; embedders cannot switch it off.
    package var isLoggingWrites: Bool {
        get { logging.load(ordering: .sequentiallyConsistent) }
        set { logging.store(newValue, ordering: .sequentiallyConsistent) }
    }

    /// Logs a write that has been made (by io_uring, a device, a copy) to the pages of a run.
    ///
    /// Call this after the write; a call before it alone is not enough. The harvest clears the mark and then reads the page: with an early
    /// mark, it could read an unfinished page and leave no mark behind. The fence orders the write before the load of the flag. Without it,
    /// a write just before arming could sit in the store buffer, unlogged, while the page is being read.
    public func markWritten(_ run: PageRun) {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if logging.load(ordering: .relaxed) { writeLog.insert(run) }
    }

    /// Copies bytes into guest RAM.
    /// - Throws: an error unless all of the bytes are in one region and present.
    package func write(_ bytes: UnsafeRawBufferPointer, at address: GuestAddress) throws(AccessError) {
        guard let source = bytes.baseAddress else { return }
        try unsafe forEachPlace(address, bytes.count) { target, done, count in unsafe memcpy(target, source + done, count) }
    }

    /// Copies bytes into guest RAM.
    /// - Throws: an error unless all of the bytes are in one region and present.
    public func write(_ bytes: [UInt8], at address: GuestAddress) throws(AccessError) {
        var failure: AccessError?
        unsafe bytes.withUnsafeBytes { source in
            do throws(AccessError) { try unsafe write(source, at: address) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Fills guest RAM with one byte value.
    public func fill(_ byte: UInt8, at address: GuestAddress, byteCount: Int) throws(AccessError) {
        try unsafe forEachPlace(address, byteCount) { target, _, count in unsafe memset(target, Int32(byte), count) }
    }

    /// Stores a little-endian integer. The address need not be aligned; the store is atomic only through `storeRelease`.
    @inlinable
    public func store<Value: FixedWidthInteger>(_ value: Value, at address: GuestAddress) throws(AccessError) {
        let place = try place(address, MemoryLayout<Value>.size)
        unsafe place.host.storeBytes(of: value.littleEndian, as: Value.self)
        markWritten(place.pages(MemoryLayout<Value>.size))
    }

    /// Stores a 16-bit ring index. Earlier writes are visible to whoever loads it with `loadAcquire`.
    public func storeRelease(_ value: UInt16, at address: GuestAddress) throws(AccessError) {
        let place = try alignedPlace(address)
        unsafe atomic16(place).pointee.store(value.littleEndian, ordering: .releasing)
        markWritten(place.pages(2))
    }

    /// Stores a 16-bit field that the other side may be reading at this moment. This orders nothing; use a fence for that.
    public func storeRelaxed(_ value: UInt16, at address: GuestAddress) throws(AccessError) {
        let place = try alignedPlace(address)
        unsafe atomic16(place).pointee.store(value.littleEndian, ordering: .relaxed)
        markWritten(place.pages(2))
    }

    // MARK: Reading

    /// Copies bytes out of guest RAM; fills all of `destination`.
    package func read(into destination: UnsafeMutableRawBufferPointer, at address: GuestAddress) throws(AccessError) {
        guard let target = destination.baseAddress else { return }
        try unsafe forEachPlace(address, destination.count, isWrite: false) { source, done, count in
            unsafe memcpy(target + done, source, count)
        }
    }

    /// Copies bytes out of guest RAM.
    public func read(at address: GuestAddress, byteCount: Int) throws(AccessError) -> [UInt8] {
        guard contains(address, byteCount: byteCount) else { throw AccessError(address: address, byteCount: byteCount) }
        var failure: AccessError?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            let target = unsafe UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: byteCount)
            do throws(AccessError) {
                try unsafe read(into: target, at: address)
                count = byteCount
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Loads a little-endian integer; the address need not be aligned.
    @inlinable
    public func load<Value: FixedWidthInteger>(_ type: Value.Type = Value.self, at address: GuestAddress) throws(AccessError) -> Value {
        let place = try place(address, MemoryLayout<Value>.size)
        return unsafe Value(littleEndian: place.host.loadUnaligned(as: Value.self))
    }

    /// Loads a 16-bit ring index. What was written before its `storeRelease` is visible afterwards.
    public func loadAcquire(at address: GuestAddress) throws(AccessError) -> UInt16 {
        let place = try alignedPlace(address)
        return unsafe UInt16(littleEndian: atomic16(place).pointee.load(ordering: .acquiring))
    }

    /// Loads a 16-bit field that the other side may be writing at this moment.
    public func loadRelaxed(at address: GuestAddress) throws(AccessError) -> UInt16 {
        let place = try alignedPlace(address)
        return unsafe UInt16(littleEndian: atomic16(place).pointee.load(ordering: .relaxed))
    }

    private func alignedPlace(_ address: GuestAddress) throws(AccessError) -> Place {
        let place = try place(address, 2)
        guard place.offset & 1 == 0 else { throw AccessError(address: address, byteCount: 2) }
        return place
    }

    private func atomic16(_ place: Place) -> UnsafeMutablePointer<Atomic<UInt16>> {
        unsafe place.host.assumingMemoryBound(to: Atomic<UInt16>.self)
    }
}
