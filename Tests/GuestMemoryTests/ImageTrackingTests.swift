import AerostatGuestMemory
import AerostatHost
import Foundation
import Glibc
import TestSupport
import Testing

private let canScan: Bool = {
    guard let memory = try? GuestRAM(regionTable(pages: 1)) else { return false }
    return (try? PagemapScanTracker(memory)) != nil
}()

private let kinds: [TrackerKind] = canScan ? [.software, .pagemapScan] : [.software]

@Suite(.serialized) struct ImageTrackingTests {
    private static let pages = 4096
    /// Block 1 (pages 512..<1024) is half data, half hole; block 3 is mapped for one page; the rest is anonymous.
    private static let data = Array(512..<768) + [1600]

    private func harvest(_ tracker: any DirtyTracker, _ memory: GuestRAM) throws -> [Int] {
        let dirty = try PageSet(pageCount: memory.pageCount)
        try tracker.harvest(into: dirty)
        return dirty.allPages
    }

    @Test(arguments: kinds)
    func `Written pages are harvested once, and read pages are not`(kind: TrackerKind) throws {
        let file = try ImageFile(pages: Self.pages, data: Self.data)
        defer { file.remove() }
        let memory = try file.memory(pages: Self.pages, data: Self.data)
        let tracker = try makeTracker(kind, for: memory)
        for page in [10, 512, 800] { try memory.setFirstByte(page, 1) }
        try memory.touch(513)
        try tracker.arm()
        #expect(try harvest(tracker, memory) == [], "what was written before is forgotten")
        #expect(try memory.presentPages() == [10] + Array(512..<768) + [800, 1600])
        for page in Array(512..<1024) + Array(1536..<2048) + [10] { try memory.touch(page) }
        #expect(try harvest(tracker, memory) == [], "reading is not writing")
        // First pages that were read before, then one that was never read.
        for page in [600, 601, 900, 1600] { try memory.setFirstByte(page, 2) }
        #expect(try harvest(tracker, memory) == [600, 601, 900, 1600])
        try memory.setFirstByte(601, 3)
        try memory.setFirstByte(512, 3)
        try memory.setFirstByte(3000, 3)
        #expect(try harvest(tracker, memory) == [512, 601, 3000], "not armed again")
        #expect(try harvest(tracker, memory) == [])
        tracker.disarm()
        try memory.setFirstByte(700, 1)
        try tracker.arm()
        #expect(try harvest(tracker, memory) == [])
        tracker.disarm()
    }

    @Test(.enabled(if: canScan))
    func `Untouched pages are harvested after this process or the kernel writes them`() throws {
        let file = try ImageFile(pages: Self.pages, data: Self.data)
        defer { file.remove() }
        let memory = try file.memory(pages: Self.pages, data: Self.data)
        let tracker = try PagemapScanTracker(memory)
        try tracker.arm()
        for page in [520, 1000] { try memory.setFirstByte(page, 2) }
        let zeros = try OwnedDescriptor.open("/dev/zero", flags: O_RDONLY)
        // A write across the border between data and hole. The door's mark is not what is tested.
        let bytes = unsafe memory.withWritablePages(PageRun(766, 4)) { unsafe Glibc.read(zeros.number, $0.baseAddress!, $0.count) }
        #expect(bytes == 4 * 4096)
        #expect(try harvest(tracker, memory) == [520, 766, 767, 768, 769, 1000])
        #expect(try memory.firstByte(767) == 0)
        tracker.disarm()
    }

    @Test(arguments: kinds)
    func `A discard does not make an armed tracker miss writes`(kind: TrackerKind) throws {
        let file = try ImageFile(pages: Self.pages, data: Self.data)
        defer { file.remove() }
        let memory = try file.memory(pages: Self.pages, data: Self.data)
        let tracker = try makeTracker(kind, for: memory)
        try tracker.arm()
        try memory.discard(PageRun(500, 100))
        #expect(try harvest(tracker, memory) == [])
        for page in [505, 550, 700] { try memory.setFirstByte(page, 2) }
        #expect(try harvest(tracker, memory) == [505, 550, 700])
        try memory.setFirstByte(550, 3)
        #expect(try harvest(tracker, memory) == [550], "the new mapping is not armed")
        tracker.disarm()
        try memory.discard(PageRun(600, 10))
        try tracker.arm()
        #expect(try harvest(tracker, memory) == [])
        tracker.disarm()
    }

    /// Compares random reads, writes, discards, evictions from the page cache and harvests with a set.
    @Test(.enabled(if: canScan), arguments: 1...6 as ClosedRange<UInt64>)
    func `Random operations match a set`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let pages = 2048
        let data = (0..<pages).filter { _ in Int.random(in: 0..<3, using: &random) == 0 }.filter { $0 / 512 != 2 }
        let file = try ImageFile(pages: pages, data: data)
        defer { file.remove() }
        let memory = try file.memory(pages: pages, data: data)
        let tracker = try PagemapScanTracker(memory)
        var content = (0..<pages).map { _ in 0 as UInt8 }
        for page in data { content[page] = ImageFile.byte(page) }
        for _ in 0..<300 {
            let page = Int.random(in: 0..<pages, using: &random)
            if Bool.random(using: &random) {
                content[page] = 1
                try memory.setFirstByte(page, 1)
            } else {
                try memory.touch(page)
            }
        }
        try tracker.arm()
        var written: Set<Int> = []
        // Reading a hole of anonymous memory maps the zero page, which the kernel reports as written.
        var allowed: Set<Int> = []
        var anonymous = Set(1024..<1536)
        for step in 0..<3000 {
            let page = Int.random(in: 0..<pages, using: &random)
            switch Int.random(in: 0..<200, using: &random) {
            case 0..<100:
                #expect(try memory.firstByte(page) == content[page], "page \(page), seed \(seed), step \(step)")
                if anonymous.contains(page) { allowed.insert(page) }
            case 100..<190:
                content[page] = .random(in: 0...255, using: &random)
                try memory.setFirstByte(page, content[page])
                written.insert(page)
            case 190..<193:
                let run = PageRun(page, min(20, pages - page))
                try memory.discard(run)
                for index in run.indices {
                    content[index] = 0
                    written.remove(index)
                    allowed.remove(index)
                    anonymous.insert(index)
                }
            case 193..<195: try file.evict()
            default:
                let found = Set(try harvest(tracker, memory))
                #expect(found.isSuperset(of: written), "lost \(written.subtracting(found)), seed \(seed), step \(step)")
                #expect(found.subtracting(written).isSubset(of: allowed), "\(found.subtracting(written)), seed \(seed), step \(step)")
                written = []
                allowed = []
            }
        }
        tracker.disarm()
    }

    @Test(.enabled(if: canScan))
    func `A guest of 1 TiB costs only what its data costs`() throws {
        let pages = 1 << 28
        let data = (0..<64).flatMap { part in (0..<64).map { part << 22 + 5 + $0 } }
        let file = try ImageFile(pages: pages, data: data)
        defer { file.remove() }
        let start = MonotonicClock.now()
        let memory = try file.memory(pages: pages, data: data)
        let tracker = try PagemapScanTracker(memory)
        try tracker.arm()
        #expect(try memory.presentPages() == data)
        for page in data { try memory.setFirstByte(page, 2) }
        #expect(try harvest(tracker, memory) == data)
        tracker.disarm()
        let took = start.duration(to: MonotonicClock.now())
        #expect(took < .seconds(3), "\(took)")
    }
}
