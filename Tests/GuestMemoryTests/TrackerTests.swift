import AerostatGuestMemory
import AerostatHost
import TestSupport
import Testing

/// Whether this kernel has `PAGEMAP_SCAN` and lets this process use userfaultfd.
private let canScan: Bool = {
    guard let memory = try? GuestRAM(regionTable(pages: 1)) else { return false }
    return (try? PagemapScanTracker(memory)) != nil
}()

private let kinds: [TrackerKind] = canScan ? [.software, .pagemapScan] : [.software]

@Suite(.serialized) struct TrackerTests {
    private static let pages = 512

    private func harvest(_ tracker: any DirtyTracker, _ memory: GuestRAM) throws -> [Int] {
        let dirty = try PageSet(pageCount: memory.pageCount)
        try tracker.harvest(into: dirty)
        var found: [Int] = []
        dirty.forEachRun { found += Array($0.indices) }
        return found
    }

    private func address(_ page: Int, _ offset: UInt64 = 0) -> GuestAddress { GuestAddress(UInt64(page) * 4096 + offset) }

    @Test(arguments: kinds)
    func `A write through any door is harvested, once`(kind: TrackerKind) throws {
        let memory = try GuestRAM(regionTable(pages: Self.pages))
        let tracker = try makeTracker(kind, for: memory)
        for page in 0..<100 { try memory.store(UInt8(1), at: address(page)) }
        try tracker.arm()
        #expect(try harvest(tracker, memory) == [], "what was written before is forgotten")
        try memory.write([1, 2], at: address(3, 4095))
        try memory.fill(7, at: address(10), byteCount: 2 * 4096 + 1)
        try memory.store(UInt32(9), at: address(20, 4094))
        try memory.storeRelease(5, at: address(30, 2))
        unsafe memory.withWritablePages(PageRun(40, 2)) { buffer in for offset in [0, 4096] { unsafe buffer[offset] = 1 } }
        memory.clear(PageRun(50, 1))
        // Never populated before.
        try memory.store(UInt64(1), at: address(300))
        let expected = [3, 4, 10, 11, 12, 20, 21, 30, 40, 41, 50, 300]
        #expect(try harvest(tracker, memory) == expected)
        #expect(try harvest(tracker, memory) == [], "found twice")
        for page in expected { try memory.store(UInt8(2), at: address(page)) }
        #expect(try harvest(tracker, memory) == expected, "not armed again")
        tracker.disarm()
        try memory.store(UInt8(3), at: address(5))
        try tracker.arm()
        #expect(try harvest(tracker, memory) == [])
        tracker.disarm()
    }

    @Test(arguments: kinds)
    func `A page that was discarded and touched again is found, and so is a zero page that became real`(kind: TrackerKind) throws {
        let memory = try GuestRAM(regionTable(pages: Self.pages))
        let tracker = try makeTracker(kind, for: memory)
        for page in 0..<20 { try memory.store(UInt8(1), at: address(page)) }
        // A read maps the shared zero page.
        #expect(memory.isZero(PageIndex(100)))
        try tracker.arm()
        try memory.discard(PageRun(5, 3))
        #expect(memory.isZero(PageIndex(5)))
        try memory.store(UInt8(1), at: address(6))
        try memory.store(UInt8(1), at: address(100))
        let found = try harvest(tracker, memory)
        #expect(Set(found).isSuperset(of: [6, 100]), "\(found)")
        #expect(Set(found).isSubset(of: [5, 6, 100]), "\(found)")
        tracker.disarm()
    }

    /// The classic loss. While a writer writes, a copier harvests and copies what it found. After the writer has stopped, one more harvest
    /// makes the copy equal. Each round has few and long writes, so that a later write rarely hides an earlier one.
    @Test(arguments: kinds, [1, 2] as [UInt64])
    func `No write is lost between a writer and a copier`(kind: TrackerKind, seed: UInt64) throws {
        let rounds = 300
        let memory = try GuestRAM(regionTable(pages: 64))
        let tracker = try makeTracker(kind, for: memory)
        try memory.fill(1, at: address(0), byteCount: 64 * 4096)
        try tracker.arm()
        let copy = try GuestRAM(memory.regions)
        let dirty = try PageSet(pageCount: 64)
        func copyDirty() throws {
            try tracker.harvest(into: dirty)
            // Copies against the writer's direction, so that it first reads what the writer has marked and not yet written.
            for page in (0..<64).reversed() where dirty.contains(PageIndex(page)) {
                try copy.write(try memory.read(at: address(page), byteCount: 4096), at: address(page))
            }
            dirty.removeAll()
        }
        for page in 0..<64 { try copy.fill(1, at: address(page), byteCount: 4096) }
        // Even: the copier waits for the writer to begin a round. Odd: the writer writes.
        let turn = Monitor(0)
        let writer = try HostThread(name: "writer") {
            var random = SeededGenerator(seed: seed)
            for round in 0..<rounds {
                _ = turn.wait { $0 == 2 * round + 1 ? true : nil }
                for _ in 0..<3 {
                    let page = UInt64.random(in: 0..<32, using: &random)
                    try? memory.fill(.random(in: 0...255, using: &random), at: GuestAddress(page * 4096), byteCount: 32 * 4096)
                }
                turn.update { $0 += 1 }
            }
        }
        var lost = 0
        for round in 0..<rounds {
            turn.update { $0 += 1 }
            while turn.withLock({ $0 }) == 2 * round + 1 { try copyDirty() }
            try copyDirty()
            lost += (0..<64).filter { memory.digest(PageIndex($0)) != copy.digest(PageIndex($0)) }.count
        }
        writer.join()
        #expect(lost == 0, "pages lost, seed \(seed)")
        tracker.disarm()
    }

    @Test(.enabled(if: canScan), arguments: [64, 1024] as [UInt64])
    func `Arming and harvesting a sparse guest costs only what is populated`(gibibytes: UInt64) throws {
        let memory = try GuestRAM(try RegionTable(contiguousBytes: gibibytes << 30))
        let tracker = try PagemapScanTracker(memory)
        var expected: [Int] = []
        for number in 0..<64 {
            let page = Int(gibibytes) << 18 / 64 * number + number
            try memory.store(UInt8(1), at: memory.regions.address(of: PageIndex(page)))
            expected.append(page)
        }
        let present = try PageSet(pageCount: memory.pageCount)
        let start = MonotonicClock.now()
        try tracker.arm()
        try memory.insertPresentPages(into: present)
        for page in expected { try memory.store(UInt8(2), at: memory.regions.address(of: PageIndex(page))) }
        let found = try harvest(tracker, memory)
        let took = start.duration(to: MonotonicClock.now())
        #expect(found == expected)
        var there: [Int] = []
        present.forEachRun { there += Array($0.indices) }
        #expect(there == expected)
        #expect(took < .seconds(2), "\(took)")
        tracker.disarm()
    }

    @Test func `Asking which pages exist populates none, with and without PAGEMAP_SCAN`() throws {
        // More pages than one read returns: runs end at that border, cross it, and end at the end of memory.
        let memory = try GuestRAM(regionTable(pages: 200_000))
        let runs = [1000..<1010, 1011..<1012, 65500..<65536, 131_000..<131_100, 199_990..<200_000]
        for run in runs { try memory.fill(1, at: address(run.lowerBound), byteCount: run.count * 4096) }
        for round in 0..<4 {
            let present = try PageSet(pageCount: memory.pageCount)
            if round & 1 == 0 {
                try memory.insertPresentPages(into: present)
            } else {
                try memory.insertPresentPagesFromPagemap(into: present)
            }
            var found: [Int] = []
            present.forEachRun { found += Array($0.indices) }
            #expect(found == runs.flatMap(Array.init))
        }
    }

    @Test func `Harvest without arming is a mistake that traps`() async {
        await #expect(processExitsWith: .failure) {
            let memory = try GuestRAM(regionTable(pages: 1))
            SoftwareTracker(memory).harvest(into: try PageSet(pageCount: 1))
        }
    }
}

@Suite struct PageContentTests {
    /// Digests travel: the values are those of xxHash's own reference program, and change for no reason but a new capability.
    @Test func `The digest is XXH3 of the page's bytes`() throws {
        let memory = try GuestRAM(regionTable(pages: 1))
        #expect(PageDigest.zeroPage == 0x93D7_6FE1_48C6_89BA)
        for offset in 0..<4096 { try memory.store(UInt8(truncatingIfNeeded: offset * 7 + offset >> 8), at: GuestAddress(UInt64(offset))) }
        #expect(memory.digest(PageIndex(0)) == 0x5C72_2D9C_EB6F_9064)
    }

    @Test func `One byte anywhere makes a page non-zero and changes its digest`() throws {
        let memory = try GuestRAM(regionTable(pages: 2))
        let page = PageIndex(1)
        #expect(memory.isZero(page) && memory.digest(page) == PageDigest.zeroPage)
        var digests: Set<UInt64> = [PageDigest.zeroPage]
        for offset in 0..<UInt64(4096) {
            try memory.store(UInt8(0x80), at: GuestAddress(4096 + offset))
            #expect(!memory.isZero(page), "byte \(offset)")
            digests.insert(memory.digest(page))
            try memory.store(UInt8(0), at: GuestAddress(4096 + offset))
        }
        #expect(digests.count == 4097)
        #expect(memory.isZero(page) && memory.isZero(PageIndex(0)))
    }

    @Test func `Accesses that are not in one region are refused`() throws {
        let memory = try GuestRAM(regionTable([(0, 1), (10, 1)]))
        #expect(throws: AccessError.self) { try memory.write([1, 2], at: GuestAddress(4095)) }
        #expect(throws: AccessError.self) { try memory.fill(0, at: GuestAddress(0), byteCount: 4097) }
        #expect(throws: AccessError.self) { _ = try memory.read(at: GuestAddress(0), byteCount: -1) }
        #expect(throws: AccessError.self) { _ = try memory.load(UInt64.self, at: GuestAddress(.max)) }
        #expect(throws: AccessError.self) { try memory.storeRelease(1, at: GuestAddress(1)) }
        try memory.write([9], at: GuestAddress(10 * 4096))
        #expect(try memory.read(at: GuestAddress(10 * 4096), byteCount: 1) == [9])
    }
}
