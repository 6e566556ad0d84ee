import AerostatGuestMemory
import AerostatVirtio

/// Where the model kernel keeps its data. The layout follows from the memory's shape alone, so no part of it has to be trusted.
///
///     page 0          boot header: parameters | allocator state, free lists of orders 0...10 | drivers: balloon hints, balloon pages,
///                     random numbers
///     pages 1...2     vCPU records, 128 bytes each: no two share a pair of cache lines
///     pages 3...11    free-page virtqueue (1024 entries): descriptors | available | used | the driver's state of it | command ids
///     pages 12...15   the balloon's other virtqueues, one page each (64 entries): rings | the driver's state of it | one buffer
///     bitmap          1 bit for each 4 MiB block: claimed (0 = virgin: never touched, its frame records neither)
///     held stack      4 bytes for each block: what the balloon driver holds, newest on top
///     mem_map         16 bytes for each frame; 4 pages describe one 4 MiB block
///     firstFrame ...  memory to allocate
///
/// A frame is a page by its dense index (`PageIndex`). A block of the top order is 1024 frames, aligned by index. A block that would lie in
/// two regions is never used, and neither is what is left after the last whole block: hints need memory that is contiguous for the device.
///
/// Anonymous memory begins as zeros, and in all formats zeros mean "nothing here yet". So the tables of a 1 TiB guest take 4 GiB of address
/// space, but only the records of blocks that were once touched are ever populated.
package struct KernelLayout: Sendable {
    /// Orders 0...10, as Linux: the largest block is 4 MiB.
    package static let topOrder = 10
    package static let topBlockPages = 1 << topOrder
    static let recordBytes = 16
    static let recordPagesPerBlock = topBlockPages * recordBytes / GuestPage.size

    static let allocatorOffset = 0x200
    static let freeListsOffset = 0x280
    static let driverOffset = 0x600
    /// What vCPUs and the balloon driver say to each other, their lists, and what was counted.
    package static let balloonSignalsOffset = 0x700
    static let balloonListsOffset = 0x740
    static let driverCountersOffset = 0x7C0
    static let balloonDriverOffset = 0x840
    static let vcpuOffset = GuestPage.size
    static let vcpuStride = 128
    static let ringPage = 3
    static let ringSize: UInt16 = 1024
    static let ringOffset = ringPage << GuestPage.shift
    static let ringStateOffset = (ringOffset + VirtqueueLayout.contiguousByteCount(size: ringSize) + 63) & ~63
    /// The two 4-byte buffers in which command ids are sent.
    static let startCommandOffset = (ringStateOffset + SplitVirtqueueDriver.stateByteCount(size: ringSize) + 63) & ~63
    static let stopCommandOffset = startCommandOffset + 64
    /// Inflate, deflate, statistics and reporting.
    package static let smallRingsPage = 12
    static let smallRings = 4
    static let smallRingSize: UInt16 = 64
    /// In each small ring's page: the driver's state, and the buffer that it offers.
    static let smallRingStateOffset = (VirtqueueLayout.contiguousByteCount(size: smallRingSize) + 63) & ~63
    static let smallBufferOffset = (smallRingStateOffset + SplitVirtqueueDriver.stateByteCount(size: smallRingSize) + 63) & ~63
    /// As many page numbers as Linux puts into a buffer.
    static let batchPages = 256
    /// Header, vCPU records and rings.
    static let fixedPages = smallRingsPage + smallRings

    package let pageCount: Int
    /// How many whole 4 MiB blocks there are.
    let blockCount: Int
    let bitmapOffset: Int
    let stackOffset: Int
    let mapOffset: Int
    /// The first frame that is not a table.
    package let firstFrame: Int
    /// Blocks that lie in two regions.
    private let splitBlocks: Set<Int>

    init(_ regions: RegionTable) {
        func wholePages(_ bytes: Int) -> Int { (bytes + GuestPage.size - 1) & ~(GuestPage.size - 1) }
        pageCount = regions.pageCount
        blockCount = pageCount >> Self.topOrder
        bitmapOffset = Self.fixedPages << GuestPage.shift
        stackOffset = bitmapOffset + wholePages((blockCount + 63) / 64 * 8)
        mapOffset = stackOffset + wholePages(blockCount * 4)
        firstFrame = (mapOffset + wholePages(pageCount * Self.recordBytes)) >> GuestPage.shift
        var split: Set<Int> = []
        var edge = 0
        for region in regions.regions {
            if edge & (Self.topBlockPages - 1) != 0 { split.insert(edge >> Self.topOrder) }
            edge += region.pageCount
        }
        splitBlocks = split
    }

    /// The block in which the tables end. The rest of it is free memory too.
    var firstBlock: Int { firstFrame >> Self.topOrder }

    /// Whether the allocator owns the block. It owns only a part of the first one.
    func isUsable(block: Int) -> Bool { (firstBlock..<blockCount).contains(block) && !splitBlocks.contains(block) }

    /// How many blocks are whole and free before anything is allocated.
    var virginBlocksAtBoot: Int {
        let first = firstBlock + 1
        return max(0, blockCount - first) - splitBlocks.count { (first..<blockCount).contains($0) }
    }

    func isUsable(frame: Int) -> Bool { frame >= firstFrame && isUsable(block: frame >> Self.topOrder) }

    package func recordOffset(of frame: Int) -> Int { mapOffset + frame * Self.recordBytes }
    func heldOffset(of position: Int) -> Int { stackOffset + position * 4 }
    package func freeListOffset(of order: Int) -> Int { Self.freeListsOffset + order * MemoryLayout<FrameList>.stride }
    func vcpuOffset(of vcpu: Int) -> Int { Self.vcpuOffset + vcpu * Self.vcpuStride }
}
