import AerostatGuestMemory
import AerostatMigration
import Testing

@Suite(.serialized) struct ImageTablesTests {
    /// Summing tables up happens while the guest stands still.
    @Test func `What summing up the tables costs depends on the pages that exist, not on how large the guest could be`() throws {
        let tables = try ImageTables(ImageLayout(pageCount: 1 << 32))
        tables.noteData(PageRun(first: PageIndex(1 << 31), count: 2)) { UInt32($0.rawValue & 1) + 1 }
        _ = tables.noteZero(PageRun(first: PageIndex(7), count: 1))
        var header = ImageHeader(id: .random(), begun: 1, regions: try RegionTable(contiguousBytes: 1 << 44), creator: "test")
        (header.dataPages, header.zeroPages) = (2, 1)
        let start = ContinuousClock.now
        _ = tables.checksum(over: [.data, .zero, .free])
        _ = tables.checksum(over: [.checksums])
        #expect(tables.counts() == (2, 1, 0))
        #expect(tables.contradiction(with: header) == nil)
        // All words of the bitmaps of 16 TiB take more than a second.
        #expect(ContinuousClock.now - start < .milliseconds(300))
    }
}
