import CLinux
public import Host
import Synchronization

/// An access by guest-physical address that is not, or not wholly, in one region of RAM.
public struct GuestAccessError: Error, Hashable, Sendable, CustomStringConvertible {
    public let address: GuestAddress
    public let byteCount: Int

    @inlinable
    public init(address: GuestAddress, byteCount: Int) {
        self.address = address
        self.byteCount = byteCount
    }

    public var description: String { "guest address \(address) with \(byteCount) bytes is not in RAM" }
}

/// A guest's RAM: one reservation of host memory with the regions laid end to end, so page p lies at `base + p * 4096`.
///
/// Every write by this process goes through here and is marked in the software log while that is on (rule "every writer is tracked").
// @unchecked: the mapping's address never changes. Its bytes are shared with the guest by nature: nothing here makes a Span or
// an array over them; copies are bounded, and fields that synchronise with the guest are atomics.
@safe
public final class GuestRAM: @unchecked Sendable {
    public let regions: RegionTable
    let mapping: Mapping
    @usableFromInline let hostStart: UnsafeMutableRawPointer
    /// Pages written through the door while `isLoggingWrites`.
    public let writeLog: DirtyBitmap
    private let logging = Atomic<Bool>(false)
    /// The image that pages come from when touched; `nil` where all memory is anonymous.
    let image: ImageBacking?
    private let watch: ImageFaultGuard?
    /// Held where mappings are replaced, and where the kernel is asked about all of them.
    let layout: Monitor<Layout>

    /// How the memory is mapped, as far as it changes.
    struct Layout {
        /// The mappings that the kernel keeps for this memory, at most.
        var mappings: Int
        /// The userfaultfd that sees all of the memory, while a tracker is armed.
        var fault: Int32?
    }

    /// The pages of all regions together.
    public var pageCount: Int { regions.pageCount }

    /// Reserves the memory; none of it is populated.
    public convenience init(_ regions: RegionTable) throws(SystemError) {
        try self.init(regions, Mapping(anonymousByteCount: Int(regions.byteCount)), nil, nil)
    }

    init(
        _ regions: RegionTable,
        _ mapping: consuming Mapping,
        _ image: ImageBacking?,
        _ watch: consuming ImageFaultGuard?
    ) throws(SystemError) {
        self.watch = watch
        self.regions = regions
        self.mapping = mapping
        self.image = image
        layout = Monitor(Layout(mappings: image?.mappings ?? 1))
        unsafe hostStart = self.mapping.base
        writeLog = try DirtyBitmap(pageCount: regions.pageCount)
    }

    /// Host address range of all RAM, for trackers and KVM memory slots.
    @unsafe package var hostBase: UnsafeMutableRawPointer { unsafe mapping.base }

    /// Where a run lies in host memory. Regions are laid end to end, so this holds across their edges.
    ///
    /// For scatter/gather lists (the kernel reads or writes) and bounded copies. Whoever writes through it calls
    /// `markWritten(_:)` afterwards.
    @unsafe package func hostAddress(of run: PageRun) -> UnsafeMutableRawPointer {
        precondition(run.end.rawValue <= pageCount, "run outside guest memory")
        return unsafe mapping.base + run.first.rawValue << GuestPage.shift
    }

    // MARK: The write door

    /// Whether writes through the door are being logged.
    public var isLoggingWrites: Bool {
        get { logging.load(ordering: .sequentiallyConsistent) }
        set { logging.store(newValue, ordering: .sequentiallyConsistent) }
    }

    /// Logs a write that has been made (by io_uring, a device, a copy) to the pages of a run.
    ///
    /// After the write, never before it only: the harvest clears the mark and then reads the page, and must not read it unfinished
    /// with nothing left behind. The fence orders the write before the look at the flag; without it a write just before arming could
    /// sit in the store buffer, unlogged, while the page is being read.
    @usableFromInline
    package func markWritten(_ run: PageRun) {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if logging.load(ordering: .relaxed) { writeLog.insert(run) }
    }

    /// Copies bytes into guest RAM.
    package func write(_ bytes: UnsafeRawBufferPointer, at address: GuestAddress) throws(GuestAccessError) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        let offset = try offset(address, bytes.count)
        unsafe memcpy(mapping.base + offset, source, bytes.count)
        markWritten(pages(offset, bytes.count))
    }

    /// Copies bytes into guest RAM.
    public func write(_ bytes: [UInt8], at address: GuestAddress) throws(GuestAccessError) {
        guard !bytes.isEmpty else { return }
        let offset = try offset(address, bytes.count)
        unsafe bytes.withUnsafeBytes { _ = unsafe memcpy(mapping.base + offset, $0.baseAddress!, $0.count) }
        markWritten(pages(offset, bytes.count))
    }

    /// Fills guest RAM with one byte value.
    public func fill(_ byte: UInt8, at address: GuestAddress, byteCount: Int) throws(GuestAccessError) {
        guard byteCount > 0 else { return }
        let offset = try offset(address, byteCount)
        unsafe memset(mapping.base + offset, Int32(byte), byteCount)
        markWritten(pages(offset, byteCount))
    }

    /// Writes whole pages in place: `body` gets their host memory, the pages are marked when it returns.
    package func withWritablePages<Result>(_ run: PageRun, _ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        defer { markWritten(run) }
        return unsafe body(UnsafeMutableRawBufferPointer(start: hostAddress(of: run), count: run.byteCount))
    }

    /// Stores a little-endian integer. The address need not be aligned; the store is atomic only through `storeRelease`.
    @inlinable
    public func store<Value: FixedWidthInteger>(_ value: Value, at address: GuestAddress) throws(GuestAccessError) {
        let offset = try offset(address, MemoryLayout<Value>.size)
        unsafe (hostStart + offset).storeBytes(of: value.littleEndian, as: Value.self)
        markWritten(pages(offset, MemoryLayout<Value>.size))
    }

    /// Stores a 16-bit ring index: what was written before is visible to whoever loads it with `loadAcquire`.
    public func storeRelease(_ value: UInt16, at address: GuestAddress) throws(GuestAccessError) {
        let offset = try alignedOffset(address)
        unsafe atomic16(offset).pointee.store(value.littleEndian, ordering: .releasing)
        markWritten(pages(offset, 2))
    }

    /// Stores a 16-bit field that the other side may be reading at this moment. Orders nothing: that is for a fence.
    public func storeRelaxed(_ value: UInt16, at address: GuestAddress) throws(GuestAccessError) {
        let offset = try alignedOffset(address)
        unsafe atomic16(offset).pointee.store(value.littleEndian, ordering: .relaxed)
        markWritten(pages(offset, 2))
    }

    // MARK: Reading

    /// Copies bytes out of guest RAM; fills all of `destination`.
    package func read(into destination: UnsafeMutableRawBufferPointer, at address: GuestAddress) throws(GuestAccessError) {
        guard let target = destination.baseAddress, destination.count > 0 else { return }
        let offset = try offset(address, destination.count)
        unsafe memcpy(target, mapping.base + offset, destination.count)
    }

    /// Copies bytes out of guest RAM.
    public func read(at address: GuestAddress, byteCount: Int) throws(GuestAccessError) -> [UInt8] {
        let offset = try offset(address, byteCount)
        return unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            if byteCount > 0 { unsafe memcpy(buffer.baseAddress!, mapping.base + offset, byteCount) }
            count = byteCount
        }
    }

    /// Loads a little-endian integer; the address need not be aligned.
    @inlinable
    public func load<Value: FixedWidthInteger>(_ type: Value.Type = Value.self, at address: GuestAddress) throws(GuestAccessError) -> Value
    {
        let offset = try offset(address, MemoryLayout<Value>.size)
        return unsafe Value(littleEndian: (hostStart + offset).loadUnaligned(as: Value.self))
    }

    /// Loads a 16-bit ring index; what was written before its `storeRelease` is visible afterwards.
    public func loadAcquire(at address: GuestAddress) throws(GuestAccessError) -> UInt16 {
        let offset = try alignedOffset(address)
        return unsafe UInt16(littleEndian: atomic16(offset).pointee.load(ordering: .acquiring))
    }

    /// Loads a 16-bit field that the other side may be writing at this moment.
    public func loadRelaxed(at address: GuestAddress) throws(GuestAccessError) -> UInt16 {
        let offset = try alignedOffset(address)
        return unsafe UInt16(littleEndian: atomic16(offset).pointee.load(ordering: .relaxed))
    }

    // Inlined because rings are read and written field by field: unspecialised generics cost a third of a hint round (measured).
    @inlinable
    func offset(_ address: GuestAddress, _ byteCount: Int) throws(GuestAccessError) -> Int {
        guard let offset = regions.offset(of: address, byteCount: byteCount) else {
            throw GuestAccessError(address: address, byteCount: byteCount)
        }
        return offset
    }

    private func alignedOffset(_ address: GuestAddress) throws(GuestAccessError) -> Int {
        let offset = try offset(address, 2)
        guard offset & 1 == 0 else { throw GuestAccessError(address: address, byteCount: 2) }
        return offset
    }

    private func atomic16(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt16>> {
        unsafe (mapping.base + offset).assumingMemoryBound(to: Atomic<UInt16>.self)
    }

    @inlinable
    func pages(_ offset: Int, _ byteCount: Int) -> PageRun {
        let first = offset >> GuestPage.shift
        return PageRun(first: PageIndex(first), count: (offset + byteCount - 1) >> GuestPage.shift - first + 1)
    }
}
