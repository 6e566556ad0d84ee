import AerostatGuestMemory
import TestSupport
import Testing

@Suite struct RegionTableTests {
    /// Three regions: two are adjacent, one lies after a hole.
    private static let page: UInt64 = 4096
    private static let table = regionTable([(2, 4), (6, 3), (20, 5)])

    /// The dense page of a guest frame number, computed slowly.
    private static func densePage(ofFrame frame: UInt64) -> Int? {
        var dense = 0
        for region in table.regions {
            for number in region.base.rawValue / page..<region.end / page {
                if number == frame { return dense }
                dense += 1
            }
        }
        return nil
    }

    @Test func `Addresses and pages match a walk over every frame`() {
        for frame in UInt64(0)..<30 {
            for inside in [0, 1, 4095] as [UInt64] {
                let address = GuestAddress(frame * Self.page + inside)
                #expect(Self.table.page(containing: address)?.rawValue == Self.densePage(ofFrame: frame))
            }
            if let dense = Self.densePage(ofFrame: frame) {
                #expect(Self.table.address(of: PageIndex(dense)) == GuestAddress(frame * Self.page))
            }
        }
        #expect(Self.table.pageCount == 12 && Self.table.byteCount == 12 * Self.page)
    }

    @Test func `An access lies in one region or is refused`() {
        let table = Self.table
        #expect(table.offset(of: GuestAddress(2 * Self.page), byteCount: 4 * 4096) == 0)
        #expect(table.offset(of: GuestAddress(5 * Self.page + 4095), byteCount: 1) == 4 * 4096 - 1)
        #expect(table.offset(of: GuestAddress(5 * Self.page + 4095), byteCount: 2) == nil)
        #expect(table.offset(of: GuestAddress(20 * Self.page + 8), byteCount: 8) == 7 * 4096 + 8)
        #expect(table.offset(of: GuestAddress(25 * Self.page), byteCount: 0) == nil)
        #expect(table.offset(of: GuestAddress(2 * Self.page), byteCount: -1) == nil)
        #expect(table.offset(of: GuestAddress(.max), byteCount: .max) == nil)
    }

    @Test func `A hinted block shrinks to the whole pages that it covers in RAM`() {
        var random = SeededGenerator(seed: 8)
        for step in 0..<20_000 {
            let address = UInt64.random(in: 0..<30 * Self.page, using: &random)
            let count = UInt64.random(in: 0...(Bool.random(using: &random) ? 3 : 26) * Self.page, using: &random)
            let rounded = step % 3 == 0
            let (start, length) = rounded ? (address & ~4095, count & ~4095) : (address, count)
            var model: Set<Int> = []
            for frame in UInt64(0)..<60 where frame * Self.page >= start && (frame + 1) * Self.page <= start + length {
                if let dense = Self.densePage(ofFrame: frame) { model.insert(dense) }
            }
            let found = Self.table.wholePages(at: GuestAddress(start), byteCount: length)
            #expect(found.runs.flatMap(\.indices) == model.sorted(), "seed 8, step \(step): \(start) + \(length)")
            #expect(found.droppedBytes == length - UInt64(model.count) * Self.page, "seed 8, step \(step)")
        }
    }

    @Test(arguments: [
        (UInt64.max, UInt64.max), (.max - 4095, 4096), (0, .max), (1, .max), (24 * 4096, .max), (.max, 0), (0, 0),
    ]
    )
    func `Hostile blocks end at the end of the address space`(address: UInt64, byteCount: UInt64) {
        let found = Self.table.wholePages(at: GuestAddress(address), byteCount: byteCount)
        let pages = found.runs.reduce(0) { $0 + $1.count }
        #expect(pages == (byteCount == 0 || address > 25 * 4096 ? 0 : address <= 1 ? 12 : 1))
        #expect(found.droppedBytes == byteCount - UInt64(pages) * 4096)
    }

    @Test func `Invalid regions are refused`() {
        func error(_ regions: [(UInt64, UInt64)]) -> RegionTableError? {
            do throws(RegionTableError) {
                _ = try RegionTable(regions.map { MemoryRegion(base: GuestAddress($0.0), byteCount: $0.1) })
                return nil
            } catch { return error }
        }
        #expect(error([]) == .count(0))
        #expect(error((0..<65).map { ($0 * 8192, 4096) }) == .count(65))
        #expect(error([(0, 4095)]) == .unaligned(index: 0, MemoryRegion(base: GuestAddress(0), byteCount: 4095)))
        #expect(error([(1, 4096)]) != nil && error([(0, 0)]) != nil)
        #expect(error([(0, 8192), (4096, 4096)]) == .overlapOrOrder(index: 1))
        #expect(error([(8192, 4096), (0, 4096)]) == .overlapOrOrder(index: 1))
        #expect(error([(.max - 4095, 4096)]) == .overlapOrOrder(index: 0))
        #expect(error([(.max - 4095, 8192)]) == .overlapOrOrder(index: 0))
        #expect(error([(0, .max - 4095)]) == .tooLarge(bytes: .max - 4095))
        #expect(error([(0, 1 << 44), (1 << 45, 4096)]) == .tooLarge(bytes: 1 << 44 + 4096))
        #expect(error([(0, 1 << 44)]) == nil)
    }
}
