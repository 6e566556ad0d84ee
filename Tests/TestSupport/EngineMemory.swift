package import AerostatGuestMemory
import AerostatHost

/// A table of regions that the test knows to be valid, in pages: (first frame, page count).
package func regionTable(_ regions: [(frame: UInt64, pages: UInt64)]) -> RegionTable {
    do {
        return try RegionTable(
            regions.map {
                MemoryRegion(base: GuestAddress($0.frame * UInt64(GuestPage.size)), byteCount: $0.pages * UInt64(GuestPage.size))
            }
        )
    } catch {
        preconditionFailure("the test's own regions: \(error)")
    }
}

/// One region from address 0.
package func regionTable(pages: Int) -> RegionTable { regionTable([(0, UInt64(pages))]) }

extension PageRun {
    package init(_ first: Int, _ count: Int) { self.init(first: PageIndex(first), count: count) }
}
