import AerostatHost

/// A piece of guest-physical memory backed by RAM.
public struct MemoryRegion: Hashable, Sendable {
    /// Where the guest sees it; a multiple of the page size.
    public let base: GuestAddress
    /// A multiple of the page size, more than zero.
    public let byteCount: UInt64

    public init(base: GuestAddress, byteCount: UInt64) {
        self.base = base
        self.byteCount = byteCount
    }

    /// The region's length in pages.
    public var pageCount: Int { Int(byteCount >> UInt64(GuestPage.shift)) }
    /// The first address after the region.
    public var end: UInt64 { base.rawValue + byteCount }
}

/// Why a list of regions cannot be a guest's memory.
public enum RegionTableError: Error, Hashable, Sendable, CustomStringConvertible {
    case count(Int)
    case unaligned(index: Int, MemoryRegion)
    case overlapOrOrder(index: Int)
    case tooLarge(bytes: UInt64)

    public var description: String {
        switch self {
        case .count(let count): "\(count) memory regions, where 1 to \(RegionTable.maximumRegions) are allowed"
        case .unaligned(let index, let region):
            "memory region \(index) at \(region.base) with \(exactSize(region.byteCount)) is empty or not whole pages"
        case .overlapOrOrder(let index): "memory region \(index) overlaps the one before it or is out of order"
        case .tooLarge(let bytes): "guest memory of \(exactSize(bytes)) exceeds the limit of \(exactSize(RegionTable.maximumBytes))"
        }
    }
}

/// A guest's RAM: regions in ascending order, with their pages numbered end to end.
public struct RegionTable: Hashable, Sendable {
    /// The most regions that a guest may have. A stream or file that states more is refused.
    public static let maximumRegions = 64
    /// The most RAM: 16 TiB, which is the reach of a balloon's 32-bit page numbers.
    public static let maximumBytes: UInt64 = 1 << 44

    public let regions: [MemoryRegion]
    /// `firstPages[i]` is the dense index of the first page of region i.
    private let firstPages: [Int]
    public let pageCount: Int
    /// The first region, where most accesses go.
    @usableFromInline let lowest: MemoryRegion

    /// The length of all regions together, in bytes.
    public var byteCount: UInt64 { UInt64(pageCount) << UInt64(GuestPage.shift) }

    /// Checks and numbers the regions, which may come from a peer or a file.
    public init(_ regions: [MemoryRegion]) throws(RegionTableError) {
        guard (1...Self.maximumRegions).contains(regions.count) else { throw .count(regions.count) }
        let mask = UInt64(GuestPage.size - 1)
        var firstPages: [Int] = []
        var total: UInt64 = 0
        for (index, region) in regions.enumerated() {
            guard region.byteCount > 0, (region.byteCount | region.base.rawValue) & mask == 0 else {
                throw .unaligned(index: index, region)
            }
            guard region.byteCount <= Self.maximumBytes else { throw .tooLarge(bytes: region.byteCount) }
            guard region.base.advanced(by: region.byteCount) != nil, index == 0 || region.base.rawValue >= regions[index - 1].end else {
                throw .overlapOrOrder(index: index)
            }
            firstPages.append(Int(total >> UInt64(GuestPage.shift)))
            total += region.byteCount
            guard total <= Self.maximumBytes else { throw .tooLarge(bytes: total) }
        }
        self.regions = regions
        lowest = regions[0]
        self.firstPages = firstPages
        pageCount = Int(total >> UInt64(GuestPage.shift))
    }

    /// Makes one region that starts at address 0.
    /// - Parameter byteCount: whole pages, 4 KiB to 16 TiB.
    public init(contiguousBytes byteCount: UInt64) throws(RegionTableError) {
        try self.init([MemoryRegion(base: GuestAddress(0), byteCount: byteCount)])
    }

    /// The page that holds the address; `nil` if the address is outside RAM.
    public func page(containing address: GuestAddress) -> PageIndex? {
        guard let region = region(containing: address) else { return nil }
        return PageIndex(firstPages[region] + Int((address.rawValue - regions[region].base.rawValue) >> UInt64(GuestPage.shift)))
    }

    /// Where the guest sees a page.
    public func address(of page: PageIndex) -> GuestAddress {
        precondition((0..<pageCount).contains(page.rawValue), "page outside guest memory")
        // Find the last region whose first page is not after the page.
        var low = 0
        var high = regions.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if firstPages[middle] <= page.rawValue { low = middle } else { high = middle }
        }
        return GuestAddress(regions[low].base.rawValue + UInt64(page.rawValue - firstPages[low]) << UInt64(GuestPage.shift))
    }

    /// The byte offset of an access into the regions laid end to end; `nil` unless all of it lies in one region.
    @inlinable
    public func offset(of address: GuestAddress, byteCount: Int) -> Int? {
        let inLowest = address.rawValue &- lowest.base.rawValue
        if inLowest < lowest.byteCount, byteCount >= 0, UInt64(byteCount) <= lowest.byteCount - inLowest { return Int(inLowest) }
        return searchedOffset(of: address, byteCount: byteCount)
    }

    @usableFromInline
    func searchedOffset(of address: GuestAddress, byteCount: Int) -> Int? {
        guard byteCount >= 0, let index = region(containing: address) else { return nil }
        let region = regions[index]
        let inside = address.rawValue - region.base.rawValue
        guard UInt64(byteCount) <= region.byteCount - inside else { return nil }
        return firstPages[index] << GuestPage.shift + Int(inside)
    }

    /// The whole pages that a block of guest-physical memory covers, one run for each region that it touches.
    ///
    /// The start rounds up and the end rounds down, in every region (rule "whole pages inside RAM"), because the other part of a partly
    /// covered page may hold something else. What lies outside RAM is dropped.
    public func wholePages(at address: GuestAddress, byteCount: UInt64) -> WholePages {
        var result = WholePages()
        let (sum, overflow) = address.rawValue.addingReportingOverflow(byteCount)
        let blockEnd = overflow ? UInt64.max : sum
        let mask = UInt64(GuestPage.size - 1)
        var covered: UInt64 = 0
        for (index, region) in regions.enumerated() {
            let start = max(address.rawValue, region.base.rawValue)
            let end = min(blockEnd, region.end)
            guard start < end else { continue }
            let firstWhole = (start + mask) & ~mask
            let endWhole = end & ~mask
            guard firstWhole < endWhole else { continue }
            covered += endWhole - firstWhole
            let first = firstPages[index] + Int((firstWhole - region.base.rawValue) >> UInt64(GuestPage.shift))
            result.runs.append(PageRun(first: PageIndex(first), count: Int((endWhole - firstWhole) >> UInt64(GuestPage.shift))))
        }
        result.droppedBytes = byteCount - covered
        return result
    }

    /// The result of `wholePages(at:byteCount:)`.
    public struct WholePages: Hashable, Sendable {
        /// At most one run for each region, ascending.
        public var runs: [PageRun] = []
        /// Bytes of the block that are not in `runs`: outside RAM, or parts of pages.
        public var droppedBytes: UInt64 = 0
    }

    private func region(containing address: GuestAddress) -> Int? {
        var low = 0
        var high = regions.count
        while low < high {
            let middle = (low + high) / 2
            if regions[middle].end <= address.rawValue { low = middle + 1 } else { high = middle }
        }
        return low < regions.count && regions[low].base <= address ? low : nil
    }
}
