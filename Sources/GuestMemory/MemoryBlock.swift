public import Host

/// A piece of a guest's physical memory that is there: where the guest sees it, and what is behind it.
public struct MemoryBlock: Sendable {
    /// Whole pages inside one region of the guest's `RegionTable`.
    public let region: MemoryRegion
    public let backing: MemoryBacking

    public init(_ region: MemoryRegion, _ backing: MemoryBacking) {
        self.region = region
        self.backing = backing
    }
}

/// What a block of guest memory is made of. All of it reads as zero at first, but for what is adopted.
public enum MemoryBacking: Sendable {
    /// Private memory of this process.
    case anonymous
    /// Memory that child processes share, without a descriptor.
    case sharedAnonymous
    /// A memory file, which other processes can map (see `HostRange.file`). Blocks in one region have one file.
    case memfd
    /// A memory file of huge pages of 2 MiB. The block's length must be a multiple of 2 MiB, and so must its distance from its region's start,
    /// and that from page 0, counted through the regions laid end to end.
    ///
    /// The huge pages are reserved when the block is plugged, so that touching them cannot fail. One that was given back is reserved no more:
    /// if nobody has one left when it is touched again, the process ends with SIGBUS.
    case hugePages
    /// Memory that somebody has already, with what it holds.
    case adopted(AdoptedMemory)
}

/// Memory of an embedder's, by address or by descriptor.
@safe
public struct AdoptedMemory: @unchecked Sendable {
    // @unchecked: an address and what is known of it, which never change.

    enum Kind: Sendable {
        case privateAnonymous
        case sharedAnonymous
        case file(MemoryFile, offset: UInt64)
    }

    let kind: Kind
    /// Where it is mapped already; `nil` where the block's own place is used.
    let address: UnsafeMutableRawPointer?
    /// Lives as long as the guest's memory.
    let owner: (any AnyObject & Sendable)?

    /// A part of a memory file (memfd, tmpfs or hugetlbfs), which is mapped shared.
    /// - Parameters:
    ///   - descriptor: may be closed afterwards. The file must not become shorter as long as the guest's memory lives.
    ///   - offset: where in the file the block begins; a multiple of the size of its pages.
    public init(descriptor: Int32, offset: UInt64) throws(SystemError) {
        kind = .file(try MemoryFile.adopting(descriptor), offset: offset)
        unsafe address = nil
        owner = nil
    }

    /// Private anonymous memory.
    /// - Parameters:
    ///   - address: page aligned. Readable, writable, and mapped until the guest's memory is gone, also after it was unplugged: a device may
    ///     still be in the middle of an access.
    ///   - owner: whose end unmaps it, where there is such an object: it is held until then.
    @unsafe
    public init(privateAnonymousAt address: UnsafeMutableRawPointer, owner: (any AnyObject & Sendable)? = nil) {
        kind = .privateAnonymous
        unsafe self.address = address
        self.owner = owner
    }

    /// Shared anonymous memory that has no descriptor. Of what others write to it no tracker knows.
    /// - Parameters:
    ///   - address: as above.
    ///   - owner: as above.
    @unsafe
    public init(sharedAnonymousAt address: UnsafeMutableRawPointer, owner: (any AnyObject & Sendable)? = nil) {
        kind = .sharedAnonymous
        unsafe self.address = address
        self.owner = owner
    }

    /// A shared mapping of a memory file. Of what others write to it no tracker knows.
    /// - Parameters:
    ///   - address: as above.
    ///   - descriptor: may be closed afterwards.
    ///   - offset: what of the file lies at the address.
    ///   - owner: as above.
    @unsafe
    public init(
        sharedFileAt address: UnsafeMutableRawPointer,
        descriptor: Int32,
        offset: UInt64,
        owner: (any AnyObject & Sendable)? = nil
    ) throws(SystemError) {
        kind = .file(try MemoryFile.adopting(descriptor), offset: offset)
        unsafe self.address = address
        self.owner = owner
    }
}

/// Why memory could not be plugged or unplugged. Nothing has changed then, but for the content of what was to be unplugged.
public enum MemoryBlockError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Not whole pages of the backing.
    case unaligned(MemoryRegion, unitBytes: Int)
    /// Not inside one region of the guest's memory.
    case outside(MemoryRegion)
    /// Some of it is there already.
    case present(MemoryRegion)
    /// Some of it is not there.
    case absent(MemoryRegion)
    /// It is the first block, which stays.
    case first(MemoryRegion)
    case tooManyPieces(Int)
    /// The adopted file ends before the block does.
    case shortFile(bytes: UInt64, needed: UInt64)
    case system(SystemError)

    public var description: String {
        switch self {
        case .unaligned(let region, let unit): "\(Self.name(region)) is not made of whole pages of \(unit) bytes"
        case .outside(let region): "\(Self.name(region)) is not in one of the guest's memory regions"
        case .present(let region): "\(Self.name(region)) is plugged already, at least in part"
        case .absent(let region): "\(Self.name(region)) is not plugged, at least in part"
        case .first(let region): "\(Self.name(region)) is in the guest's first block of memory, which stays"
        case .tooManyPieces(let limit): "the guest's memory would be in more than \(limit) pieces; plug larger ones, or beside each other"
        case .shortFile(let bytes, let needed): "the file has \(bytes) bytes, where the block of memory needs \(needed)"
        case .system(let error): "\(error)"
        }
    }

    private static func name(_ region: MemoryRegion) -> String { "guest memory at \(region.base) with \(region.byteCount) bytes" }
}
