import AerostatGuestMemory
import AerostatHost
import CLinux
import Glibc
import TestSupport
import Testing

/// Blocks of memory that are plugged and unplugged in a reserved space.
@Suite(.serialized) struct BlockTests {
    /// Two regions with a hole between them: pages 0..<1024 and 1024..<5120, which the guest sees from frame 8192 on.
    private static let table = regionTable([(0, 1024), (8192, 4096)])
    /// The second region begins at a multiple of 2 MiB in its address, in its page numbers and in this process.
    private static func region(_ first: Int, _ count: Int) -> MemoryRegion {
        MemoryRegion(base: address(first), byteCount: UInt64(count) << 12)
    }
    private static func address(_ page: Int, _ offset: UInt64 = 0) -> GuestAddress {
        GuestAddress((page < 1024 ? UInt64(page) : UInt64(page) + 8192 - 1024) << 12 + offset)
    }
    private static func memory() throws -> GuestRAM { try GuestRAM(table, blocks: [MemoryBlock(region(0, 1024), .anonymous)]) }

    private static func store(_ value: UInt8, _ page: Int, in memory: GuestRAM) throws { try memory.store(value, at: address(page)) }
    private static func load(_ page: Int, from memory: GuestRAM) throws -> UInt8 { try memory.load(at: address(page)) }

    @Test func `Absent memory has only page numbers: accesses are errors, and no scan finds it`() throws {
        let memory = try Self.memory()
        #expect(memory.pageCount == 5120)
        for page in [1024, 3000, 5119] {
            #expect(throws: AccessError.self) { try Self.store(1, page, in: memory) }
            #expect(throws: AccessError.self) { try Self.load(page, from: memory) }
            #expect(throws: AccessError.self) { try memory.read(at: Self.address(page, 8), byteCount: 3) }
            #expect(throws: AccessError.self) { try memory.fill(1, at: Self.address(page), byteCount: 1) }
            #expect(throws: AccessError.self) { try memory.loadAcquire(at: Self.address(page)) }
            #expect(throws: AccessError.self) { try memory.storeRelease(1, at: Self.address(page)) }
            #expect(!memory.contains(Self.address(page), byteCount: 1))
        }
        try Self.store(1, 5, in: memory)
        #expect(try memory.presentPages() == [5])
        #expect(try memory.discard(PageRun(1020, 100)).absent == 96)
        #expect(memory.hostRanges().map(\.region) == [Self.region(0, 1024)])
        for kind in allTrackers {
            let tracker = try makeTracker(kind, for: memory)
            try tracker.arm()
            try Self.store(2, 6, in: memory)
            #expect(try tracker.harvestedPages(of: memory) == [6])
            tracker.disarm()
        }
    }

    @Test func `How many pages are present costs what is plugged, not what is reserved`() throws {
        // 256 GiB that may be plugged one day.
        let memory = try GuestRAM(regionTable([(0, 1024), (8192, 1 << 26)]), blocks: [MemoryBlock(Self.region(0, 1024), .anonymous)])
        let end = MonotonicClock.now() + .seconds(1)
        var asked = 0
        while asked < 4000, MonotonicClock.now() < end {
            #expect(memory.presentPageCount == 1024)
            asked += 1
        }
        #expect(asked == 4000)
        try memory.plug(MemoryBlock(Self.region(2048, 1024), .anonymous))
        #expect(memory.presentPageCount == 2048)
        try memory.unplug(Self.region(2048, 1024))
        #expect(memory.presentPageCount == 1024)
    }

    @Test(arguments: TestBacking.available)
    func `A block that is plugged reads as zero, is used, unplugged, and plugged again`(backing: TestBacking) throws {
        let memory = try Self.memory()
        let region = Self.region(2048, 1024)
        let embedder = BackedMemory.embedder(backing, 1024 << 12)
        let block = MemoryBlock(region, try BackedMemory.backing(backing, embedder))
        for round in 1...3 as ClosedRange<UInt8> {
            try memory.plug(block)
            #expect(memory.contains(Self.address(2048), byteCount: 1024 << 12))
            #expect(!memory.contains(Self.address(2047), byteCount: 4097) && !memory.contains(Self.address(3071), byteCount: 4097))
            #expect(try Self.load(2500, from: memory) == 0, "round \(round)")
            try memory.write([UInt8](repeating: round, count: 3 * 4096), at: Self.address(2999, 2048))
            #expect(try memory.read(at: Self.address(3000), byteCount: 4096) == [UInt8](repeating: round, count: 4096))
            if !backing.hasHugePages, !backing.isShared { #expect(try memory.presentPages() == [2999, 3000, 3001, 3002]) }
            #expect(throws: MemoryBlockError.present(region)) { try memory.plug(block) }
            try memory.unplug(region)
            #expect(throws: AccessError.self) { try Self.load(3000, from: memory) }
            #expect(throws: MemoryBlockError.absent(region)) { try memory.unplug(region) }
            #expect(try memory.presentPages() == [])
            #expect(memory.hostRanges().count == 1)
        }
    }

    @Test(arguments: TestBacking.available, allTrackers)
    func `An armed tracker sees the writes to memory that was plugged after arming`(backing: TestBacking, kind: TrackerKind) throws {
        let memory = try Self.memory()
        let tracker = try makeTracker(kind, for: memory)
        try Self.store(1, 3, in: memory)
        try tracker.arm()
        let embedder = BackedMemory.embedder(backing, 1024 << 12)
        // The content of an embedder's memory was there without a write.
        if let embedder, !backing.hasHugePages { unsafe (embedder.address + 100 * 4096).storeBytes(of: 7, as: UInt8.self) }
        try memory.plug(MemoryBlock(Self.region(2048, 1024), try BackedMemory.backing(backing, embedder)))
        let held = embedder == nil || backing.hasHugePages ? [] : [2148]
        try Self.store(1, 2100, in: memory)
        let found = Set(try tracker.harvestedPages(of: memory))
        #expect(found.isSuperset(of: [2100] + held) && !found.contains(3))
        if !backing.hasHugePages { #expect(found == Set([2100] + held)) }
        #expect(try tracker.harvestedPages(of: memory) == [])
        try Self.store(2, 2101, in: memory)
        #expect(try tracker.harvestedPages(of: memory).contains(2101))
        try memory.unplug(Self.region(2048, 1024))
        #expect(try tracker.harvestedPages(of: memory).allSatisfy { (2048..<3072).contains($0) }, "a tracker works on after an unplug")
        try Self.store(2, 4, in: memory)
        #expect(try tracker.harvestedPages(of: memory) == [4])
        tracker.disarm()
    }

    @Test func `Unplugging tells subscribers as a discard does`() throws {
        final class Listener: DiscardSubscriber {
            let calls = Locked<[String]>([])
            func willDiscard(_ run: PageRun) { calls.withLock { $0.append("will \(run)") } }
            func didDiscard(_ run: PageRun) { calls.withLock { $0.append("did \(run)") } }
            func failedToDiscard(_ run: PageRun) { calls.withLock { $0.append("failed \(run)") } }
        }
        let memory = try Self.memory()
        try memory.plug(MemoryBlock(Self.region(2048, 1024), .memfd))
        let listener = Listener()
        let subscription = memory.subscribe(listener)
        try memory.unplug(Self.region(2048, 512))
        #expect(listener.calls.withLock { $0 } == ["will \(PageRun(2048, 512))", "did \(PageRun(2048, 512))"])
        subscription.cancel()
    }

    @Test func `An impossible plug or unplug is an error that says why, and changes nothing`() throws {
        let memory = try Self.memory()
        func plug(_ region: MemoryRegion, _ backing: MemoryBacking = .anonymous) throws { try memory.plug(MemoryBlock(region, backing)) }
        let odd = MemoryRegion(base: Self.address(2048, 8), byteCount: 4096)
        #expect(throws: MemoryBlockError.unaligned(odd, unitBytes: 4096)) { try plug(odd) }
        for region in [
            MemoryRegion(base: GuestAddress(4096 << 12), byteCount: 4096), Self.region(5119, 2), Self.region(1023, 2),
            MemoryRegion(base: Self.address(2048), byteCount: 1 << 62), MemoryRegion(base: GuestAddress(.max & ~4095), byteCount: 8192),
        ] {
            #expect(throws: MemoryBlockError.outside(region)) { try plug(region) }
            #expect(throws: MemoryBlockError.outside(region)) { try memory.unplug(region) }
        }
        #expect(throws: MemoryBlockError.present(Self.region(10, 1))) { try plug(Self.region(10, 1)) }
        #expect(throws: MemoryBlockError.first(Self.region(10, 1))) { try memory.unplug(Self.region(10, 1)) }
        #expect(throws: MemoryBlockError.absent(Self.region(2048, 1))) { try memory.unplug(Self.region(2048, 1)) }
        let part = Self.region(2049, 512)
        #expect(throws: MemoryBlockError.unaligned(part, unitBytes: 2 << 20)) { try plug(part, .hugePages) }
        let file = EmbeddersMemory(byteCount: 16 << 12, isShared: true, fileUnit: 4096)
        #expect(throws: MemoryBlockError.shortFile(bytes: 18 << 12, needed: 19 << 12)) {
            try plug(Self.region(2048, 17), .adopted(AdoptedMemory(descriptor: file.descriptor, offset: file.offset)))
        }
        #expect(throws: MemoryBlockError.shortFile(bytes: 18 << 12, needed: .max)) {
            try plug(Self.region(2048, 17), .adopted(AdoptedMemory(descriptor: file.descriptor, offset: .max & ~4095)))
        }
        #expect(throws: SystemError.self) { try AdoptedMemory(descriptor: 999, offset: 0) }
        var ends: [Int32] = [0, 0]
        try #require(unsafe pipe(&ends) == 0)
        #expect(throws: SystemError.self) { try AdoptedMemory(descriptor: ends[0], offset: 0) }
        for end in ends { close(end) }
        // Half of it is mapped.
        let error = #expect(throws: MemoryBlockError.self) {
            let lone = EmbeddersMemory(byteCount: 16 << 12, isShared: false, fileUnit: 0)
            unsafe munmap(lone.address + 8 << 12, 8 << 12)
            try plug(Self.region(2048, 16), .adopted(unsafe AdoptedMemory(privateAnonymousAt: lone.address)))
        }
        #expect("\(error.map { "\($0)" } ?? "")".contains("adopt memory at its address"))
        #expect(memory.hostRanges().count == 1)
        #expect(try memory.presentPages() == [])
        for error in [.tooManyPieces(3), .outside(part), .present(part), .absent(part), .first(part)] as [MemoryBlockError] {
            #expect(!error.description.isEmpty)
        }
    }

    @Test func `Copies may cross from block to block wherever those lie, but a single value may not`() throws {
        let memory = try Self.memory()
        let near = EmbeddersMemory(byteCount: 16 << 12, isShared: false, fileUnit: 0)
        let far = EmbeddersMemory(byteCount: 16 << 12, isShared: true, fileUnit: 4096)
        try memory.plug(MemoryBlock(Self.region(2048, 16), .adopted(unsafe AdoptedMemory(privateAnonymousAt: near.address))))
        try memory.plug(MemoryBlock(Self.region(2064, 16), .memfd))
        try memory.plug(
            MemoryBlock(
                Self.region(2080, 16),
                .adopted(unsafe AdoptedMemory(sharedFileAt: far.address, descriptor: far.descriptor, offset: far.offset))
            )
        )
        let bytes = (0..<48 << 12).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 >> 12) }
        let tracker = SoftwareTracker(memory)
        tracker.arm()
        try memory.write(bytes, at: Self.address(2048))
        #expect(try tracker.harvestedPages(of: memory) == Array(2048..<2096))
        tracker.disarm()
        #expect(try memory.read(at: Self.address(2048), byteCount: bytes.count) == bytes)
        #expect(unsafe near.address.load(fromByteOffset: 1, as: UInt8.self) == bytes[1])
        #expect(unsafe far.address.load(fromByteOffset: 15 << 12, as: UInt8.self) == bytes[47 << 12])
        #expect(memory.contiguousParts(of: PageRun(2040, 60)).map(\.count) == [8, 16, 16, 16, 4])
        #expect(memory.contiguousParts(of: PageRun(2050, 3)) == [PageRun(2050, 3)])
        #expect(throws: AccessError.self) { try memory.load(UInt32.self, at: Self.address(2063, 4094)) }
        #expect(try memory.load(UInt32.self, at: Self.address(2064, 4094)) != 0, "a value across two pages of one block is allowed")
        memory.clear(PageRun(2060, 30))
        #expect(try memory.read(at: Self.address(2060), byteCount: 30 << 12).allSatisfy { $0 == 0 })
        #expect(memory.hostRanges().count == 4)
        // Part of an adopted block is unplugged; the rest stays where it is.
        try memory.unplug(Self.region(2052, 4))
        #expect(try memory.read(at: Self.address(2048), byteCount: 4 << 12) == Array(bytes[..<(4 << 12)]))
        #expect(try memory.read(at: Self.address(2056), byteCount: 4 << 12) == Array(bytes[8 << 12..<12 << 12]))
        #expect(memory.hostRanges().count == 5)
    }

    @Test func `Memory that is adopted completely by address is used like any other`() throws {
        let embedder = EmbeddersMemory(byteCount: 1024 << 12, isShared: false, fileUnit: 0)
        let block = MemoryBlock(Self.region(0, 1024), .adopted(unsafe AdoptedMemory(privateAnonymousAt: embedder.address)))
        let memory = try GuestRAM(Self.table, blocks: [block])
        try memory.store(UInt64(77), at: Self.address(9, 8))
        #expect(unsafe embedder.address.load(fromByteOffset: 9 * 4096 + 8, as: UInt64.self) == 77)
        unsafe embedder.address.storeBytes(of: 78, toByteOffset: 9 * 4096 + 8, as: UInt64.self)
        #expect(try memory.load(UInt64.self, at: Self.address(9, 8)) == 78)
        #expect(unsafe memory.hostAddress(of: PageRun(9, 1)) == embedder.address + 9 * 4096)
        let range = memory.hostRanges()[0]
        #expect(unsafe range.address == embedder.address && range.file == nil)
    }

    @Test func `Blocks in one region share one file, which another mapping sees`() throws {
        let memory = try Self.memory()
        try memory.plug(MemoryBlock(Self.region(2048, 16), .memfd))
        try memory.plug(MemoryBlock(Self.region(2070, 16), .memfd))
        let ranges = memory.hostRanges()
        #expect(ranges.count == 3 && ranges[1].file?.descriptor == ranges[2].file?.descriptor)
        #expect(ranges[1].file?.offset == 1024 << 12 && ranges[2].file?.offset == 1046 << 12)
        // Adjacent blocks become one piece.
        try memory.plug(MemoryBlock(Self.region(2064, 6), .memfd))
        #expect(memory.hostRanges().count == 2)
        try Self.store(9, 2080, in: memory)
        var byte: UInt8 = 0
        let file = try #require(memory.hostRanges()[1].file)
        #expect(unsafe pread(file.descriptor, &byte, 1, off_t(file.offset) + 32 << 12) == 1 && byte == 9)
    }

    @Test(arguments: allTrackers)
    func `Memory whose blocks cover all regions is tracked completely`(kind: TrackerKind) throws {
        let memory = try GuestRAM(
            Self.table,
            blocks: [MemoryBlock(Self.region(0, 1024), .memfd), MemoryBlock(Self.region(1024, 4096), .sharedAnonymous)]
        )
        let tracker = try makeTracker(kind, for: memory)
        try tracker.arm()
        for page in [0, 1023, 1024, 5119] { try Self.store(3, page, in: memory) }
        #expect(try tracker.harvestedPages(of: memory) == [0, 1023, 1024, 5119])
        #expect(try memory.presentPages() == [0, 1023, 1024, 5119])
        tracker.disarm()
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>, allTrackers)
    func `Random blocks, writes and discards match a dictionary`(seed: UInt64, kind: TrackerKind) throws {
        var random = SeededGenerator(seed: seed)
        let memory = try Self.memory()
        let tracker = try makeTracker(kind, for: memory)
        var content: [Int: UInt8] = [:]
        var plugged = Set(0..<1024)
        var written: Set<Int> = []
        try tracker.arm()
        for step in 0..<600 {
            let place: Comment = "seed \(seed), step \(step)"
            let first = Int.random(in: 1024..<5120, using: &random)
            let count = Int.random(in: 1...min(300, 5120 - first), using: &random)
            let pages = first..<first + count
            switch Int.random(in: 0..<10, using: &random) {
            case 0...2:
                let backing = TestBacking.allCases.filter { !$0.hasHugePages }.randomElement(using: &random)!
                let embedder = BackedMemory.embedder(backing, count << 12)
                let block = MemoryBlock(Self.region(first, count), try BackedMemory.backing(backing, embedder))
                if plugged.isDisjoint(with: pages) {
                    try memory.plug(block)
                    plugged.formUnion(pages)
                } else {
                    #expect(throws: MemoryBlockError.present(block.region), place) { try memory.plug(block) }
                }
            case 3:
                if plugged.isSuperset(of: pages) {
                    try memory.unplug(Self.region(first, count))
                    plugged.subtract(pages)
                    for page in pages { content[page] = nil }
                } else {
                    #expect(throws: MemoryBlockError.absent(Self.region(first, count)), place) {
                        try memory.unplug(Self.region(first, count))
                    }
                }
            case 4:
                let outcome = try memory.discard(PageRun(first, count))
                #expect(outcome.givenBack == plugged.intersection(pages).count && outcome.absent == count - outcome.givenBack, place)
                for page in pages { content[page] = nil }
            case 5:
                let found = Set(try tracker.harvestedPages(of: memory))
                // A page may have been written and then discarded or unplugged.
                #expect(found.isSuperset(of: written.filter { content[$0] != nil }), place)
                written = []
            default:
                for _ in 0..<8 {
                    let page = Int.random(in: 0..<5120, using: &random)
                    let value = UInt8.random(in: 1...255, using: &random)
                    if plugged.contains(page) {
                        try Self.store(value, page, in: memory)
                        content[page] = value
                        written.insert(page)
                    } else {
                        #expect(throws: AccessError.self, place) { try Self.store(value, page, in: memory) }
                    }
                }
            }
            if step % 50 == 49 {
                #expect(try memory.presentPages() == content.keys.sorted(), place)
                for (page, value) in content { #expect(try Self.load(page, from: memory) == value, place) }
            }
        }
        tracker.disarm()
    }
}
