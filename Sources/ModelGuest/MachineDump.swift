public import AerostatGuestMemory
import AerostatHost

/// The memory of a paused Linux machine: its RAM as one file, byte by byte from physical address 0, and what its `/proc/kpageflags` said
/// about each page frame (Documentation/admin-guide/mm/pagemap.rst), 64 bits a frame.
///
/// The model guest that is made from it has the kernel's own tables in front. The machine's frame 0 lies behind them, on a boundary of the
/// largest blocks. So each of the machine's blocks is a block of the guest:
///
///     0              tables' end      base                                   base + ramBytes
///     | the kernel's | free, never    | the machine's memory, frame by frame |
///     | own tables   | touched        |                                      |
public struct MachineDump: ~Copyable, Sendable {
    /// A multiple of 4 MiB.
    public let ramBytes: UInt64
    /// Where the machine's memory begins in the guest's.
    public let base: GuestAddress
    /// The guest's memory: one region.
    public let regions: RegionTable
    let ram: SourceFile
    let pageFlags: SourceFile

    /// The smallest machine: the minimum of the model kernel.
    public static let minimumBytes: UInt64 = ModelGuestConfiguration.minimumMemoryBytes
    /// 64 GiB.
    public static let maximumBytes: UInt64 = 1 << 36
    /// How many frames the flags may cover beyond RAM: Linux counts frames up to the end of a memory section (128 MiB), and firmware may
    /// lie below 4 GiB.
    public static let maximumSurplusFrames: UInt64 = 1 << 20

    static let blockBytes = UInt64(KernelLayout.topBlockPages << GuestPage.shift)
    static let flagBytes = 8
    /// Bit 10, KPF_BUDDY: the frame lies in a free block (include/uapi/linux/kernel-page-flags.h).
    static let buddyFlag: UInt64 = 1 << 10

    /// Why two files are not the memory of a machine.
    public enum Invalid: Error, Hashable, Sendable, CustomStringConvertible {
        case ramSize(path: String, bytes: UInt64)
        case flagsSize(path: String, bytes: UInt64, frames: UInt64)
        /// The machine has a hole in its addresses, so frame numbers are not positions in the file.
        case freeBehindRAM(path: String, frame: UInt64, ramBytes: UInt64)

        public var description: String {
            switch self {
            case .ramSize(let path, let bytes):
                "\(path) has \(bytes) bytes; a machine's RAM is 16 MiB to 64 GiB in whole blocks of 4 MiB"
            case .flagsSize(let path, let bytes, let frames):
                "\(path) has \(bytes) bytes; RAM of \(frames) page frames needs \(frames * 8), 8 for each frame, and at most "
                    + "\((frames + MachineDump.maximumSurplusFrames) * 8)"
            case .freeBehindRAM(let path, let frame, let ramBytes):
                "\(path) says that page frame \(frame) is free, but RAM has \(ramBytes) bytes: the files do not belong together, or the "
                    + "machine's RAM is not one run from address 0 (under QEMU it is up to 3 GiB)"
            }
        }
    }

    /// Opens the two files and compares their sizes. Of the flags it reads only those behind RAM.
    /// - Throws: `Invalid`, or `SystemError` with the path.
    public init(ram ramPath: String, pageFlags flagsPath: String) throws {
        let ram = try SourceFile(ramPath)
        let pageFlags = try SourceFile(flagsPath)
        let ramBytes = ram.byteCount
        guard (Self.minimumBytes...Self.maximumBytes).contains(ramBytes), ramBytes % Self.blockBytes == 0 else {
            throw Invalid.ramSize(path: ramPath, bytes: ramBytes)
        }
        let frames = ramBytes >> UInt64(GuestPage.shift)
        let flagBytes = UInt64(Self.flagBytes)
        let allowed = frames * flagBytes...(frames + Self.maximumSurplusFrames) * flagBytes
        guard allowed.contains(pageFlags.byteCount), pageFlags.byteCount % flagBytes == 0 else {
            throw Invalid.flagsSize(path: flagsPath, bytes: pageFlags.byteCount, frames: frames)
        }
        // More memory needs more tables. But each block by which the base moves up adds only four pages of them.
        var base = Self.blockBytes
        var regions = try RegionTable(contiguousBytes: base + ramBytes)
        while UInt64(KernelLayout(regions).firstFrame) << UInt64(GuestPage.shift) > base {
            base += Self.blockBytes
            regions = try RegionTable(contiguousBytes: base + ramBytes)
        }
        try Self.expectNothingFree(in: pageFlags, from: frames, ramBytes: ramBytes)
        self.ramBytes = ramBytes
        self.base = GuestAddress(base)
        self.regions = regions
        self.ram = ram
        self.pageFlags = pageFlags
    }

    private static func expectNothingFree(in flags: borrowing SourceFile, from first: UInt64, ramBytes: UInt64) throws {
        var frame = first
        let end = flags.byteCount / UInt64(flagBytes)
        while frame < end {
            var words = [UInt64](repeating: 0, count: Int(min(end - frame, UInt64(KernelLayout.topBlockPages))))
            try flags.read(at: frame * UInt64(flagBytes), into: &words, words.indices)
            if let index = words.firstIndex(where: { UInt64(littleEndian: $0) & buddyFlag != 0 }) {
                throw Invalid.freeBehindRAM(path: flags.path, frame: frame + UInt64(index), ramBytes: ramBytes)
            }
            frame += UInt64(words.count)
        }
    }

    /// What a dump holds, in pages, counted during the import.
    public struct Summary: Hashable, Sendable, Codable {
        /// All of the machine's page frames.
        public var frames = 0
        /// Frames that Linux had free.
        public var free = 0
        /// The part of `free` in blocks of 4 MiB that are wholly free: what hints can cover.
        public var freeTopOrder = 0
        /// Pages that hold only zeros, holes included.
        public var zero = 0
        /// Pages in holes of the RAM file.
        public var holes = 0
        /// Pages neither free nor zero: what an image of the machine must hold.
        public var usedData = 0

        public init() {}

        enum CodingKeys: String, CodingKey {
            case frames, free, zero, holes
            case freeTopOrder = "free-top-order"
            case usedData = "used-data"
        }
    }
}
