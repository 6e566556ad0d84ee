import AerostatGuestMemory
import AerostatMigrationIO
import TestSupport
import Testing

@Suite struct ArrivalPreparationTests {
    private func presentPages(_ memory: GuestRAM) throws -> [Int] {
        let present = try PageSet(pageCount: memory.pageCount)
        try memory.insertPresentPages(into: present)
        var pages: [Int] = []
        present.forEachRun { pages += Array($0.indices) }
        return pages
    }

    @Test func `Whole blocks are left to the fault on arrival, and long runs of the rest are populated`() throws {
        let memory = try GuestRAM(regionTable(pages: 4096))
        var advice = ArrivalPreparation()
        try advice.prepare(PageRun(first: PageIndex(500), count: 1600), of: memory)
        try advice.prepare(PageRun(first: PageIndex(2557), count: 515), of: memory)
        try advice.prepare(PageRun(first: PageIndex(4000), count: 7), of: memory)
        // Blocks end at 2048 and at 3072; three pages before the last one are not worth a call.
        #expect(try presentPages(memory) == Array(500..<512) + Array(2048..<2100))
    }

    @Test func `After a block took a fault for each page, the following blocks are populated`() throws {
        let memory = try GuestRAM(regionTable(pages: 4096))
        // One fault for each block, whatever the size of its pages.
        let other = try GuestRAM(regionTable(pages: 200 * 512))
        func fault(_ range: Range<Int>) throws {
            for block in range { try other.store(UInt8(1), at: other.regions.address(of: PageIndex(block * 512))) }
        }
        var advice = ArrivalPreparation()
        for block in 0..<4 {
            try advice.prepare(PageRun(first: PageIndex(block * 512), count: 512), of: memory)
            #expect(advice.areHugePagesGiven == (block < 3))
            try fault(block < 2 ? block * 10..<block * 10 + 10 : 20..<150)
        }
        #expect(try presentPages(memory) == Array(1536..<2048))
    }
}
