public import AerostatHost

/// A piece of a guest's physical memory that is present: where the guest sees it, and what backs it.
public struct MemoryBlock: Sendable {
    /// Whole pages inside one region of the guest's `RegionTable`.
    public let region: MemoryRegion
    public let backing: MemoryBacking

    public init(_ region: MemoryRegion, _ backing: MemoryBacking) {
        self.region = region
        self.backing = backing
    }
}

/// What a block of guest memory is made of. It reads as zero at first, unless it is adopted.
public enum MemoryBacking: Sendable {
    /// Private memory of this process.
    case anonymous
    /// Memory that child processes share. It has no descriptor.
    case sharedAnonymous
    /// A memory file, which other processes can map (see `HostRange.file`). All such blocks of a region share one file.
    case memfd
    /// A memory file of huge pages of 2 MiB. The block's length must be a multiple of 2 MiB. So must its distance from the start of its
    /// region, and its distance from page 0, counted through the regions laid end to end.
    ///
    /// Plugging reserves the huge pages, so touching them cannot fail. A huge page that was given back is no longer reserved. If the guest
    /// touches it again and the host has none left, the process ends with SIGBUS.
    case hugePages
    /// Memory that an embedder already has, with its content.
    case adopted(AdoptedMemory)
}

/// An embedder's memory, given by address or by descriptor.
@safe
public struct AdoptedMemory: @unchecked Sendable {
    // @unchecked: an address and the facts about it, which never change.

    enum Kind: Sendable {
        case privateAnonymous
        case sharedAnonymous
        case file(MemoryFile, offset: UInt64)
    }

    let kind: Kind
    /// Where it is mapped already; `nil` if it will be mapped into the reservation.
    let address: UnsafeMutableRawPointer?
    /// Kept alive as long as the guest's memory.
    let owner: (any AnyObject & Sendable)?

    /// A part of a memory file (memfd, tmpfs or hugetlbfs), which is mapped shared. No tracker sees what other processes write to it.
    /// - Parameters:
    ///   - descriptor: may be closed afterwards. The file must not become shorter while the guest's memory exists.
    ///   - offset: where the block begins in the file; a multiple of the file's page size.
    public init(descriptor: Int32, offset: UInt64) throws(SystemError) {
        kind = .file(try MemoryFile.adopting(descriptor), offset: offset)
        unsafe address = nil
        owner = nil
    }

    /// Private anonymous memory.
    /// - Parameters:
    ///   - address: page aligned, readable and writable. It must stay mapped until the guest's memory is gone, even after it is unplugged,
    ///     because a device may still be in the middle of an access.
    ///   - owner: an object that unmaps it in its deinit, if there is one. The guest's memory keeps it alive.
    @unsafe
    public init(privateAnonymousAt address: UnsafeMutableRawPointer, owner: (any AnyObject & Sendable)? = nil) {
        kind = .privateAnonymous
        unsafe self.address = address
        self.owner = owner
    }

    /// Shared anonymous memory that has no descriptor. No tracker sees what other processes write to it.
    /// - Parameters:
    ///   - address: page aligned, readable and writable. It must stay mapped until the guest's memory is gone.
    ///   - owner: an object that unmaps it in its deinit, if there is one.
    @unsafe
    public init(sharedAnonymousAt address: UnsafeMutableRawPointer, owner: (any AnyObject & Sendable)? = nil) {
        kind = .sharedAnonymous
        unsafe self.address = address
        self.owner = owner
    }

    /// A shared mapping of a memory file. No tracker sees what other processes write to it.
    /// - Parameters:
    ///   - address: page aligned, readable and writable. It must stay mapped until the guest's memory is gone.
    ///   - descriptor: may be closed afterwards.
    ///   - offset: the place in the file that is mapped at the address.
    ///   - owner: an object that unmaps it in its deinit, if there is one.
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

/// Why memory could not be plugged or unplugged. The present memory has not changed, but memory that was to be unplugged may now be zero.
public enum MemoryBlockError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Not whole pages of the backing.
    case unaligned(MemoryRegion, unitBytes: Int)
    /// Not inside one region of the guest's memory.
    case outside(MemoryRegion)
    /// Some of it is already plugged.
    case present(MemoryRegion)
    /// Some of it is not plugged.
    case absent(MemoryRegion)
    /// It is in the first block, which cannot be unplugged.
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
        case .first(let region): "\(Self.name(region)) is in the guest's first block of memory, which cannot be unplugged"
        case .tooManyPieces(let limit):
            "the guest's memory would have more than \(limit) pieces: plug larger blocks, or blocks side by side"
        case .shortFile(let bytes, let needed): "the file has \(bytes) bytes, where the block of memory needs \(needed)"
        case .system(let error): "\(error)"
        }
    }

    private static func name(_ region: MemoryRegion) -> String { "guest memory at \(region.base) with \(region.byteCount) bytes" }
}
