import AerostatGuestMemory
import AerostatHost
import CLinux
import Glibc
import SystemPackage
import TestSupport
import Testing

/// Whether this kernel has `PAGEMAP_SCAN` and lets this process use userfaultfd.
let scanningTrackers: [TrackerKind] = {
    guard let memory = try? GuestRAM(regionTable(pages: 1)), (try? PagemapScanTracker(memory)) != nil else { return [] }
    return [.pagemapScan]
}()
let allTrackers: [TrackerKind] = [.software] + scanningTrackers

extension DirtyTracker {
    func harvestedPages(of memory: GuestRAM) throws -> [Int] {
        let dirty = try PageSet(pageCount: memory.pageCount)
        try harvest(into: dirty)
        return dirty.allPages
    }
}

@Suite(.serialized) struct DiscardTests {
    /// Four huge pages.
    private static let pages = 2048
    /// Begins and ends in the middle of a huge page.
    private static let run = PageRun(500, 1100)

    private static func filled(_ backing: TestBacking, _ run: PageRun = PageRun(0, pages)) throws -> BackedMemory {
        let made = try BackedMemory(backing, pages: pages)
        for page in run.indices { try made.memory.fill(UInt8(page % 250 + 1), at: GuestAddress(UInt64(page) << 12), byteCount: 4096) }
        return made
    }

    @Test(
        .enabled(if: TestBacking.hostHasHugePages, "16 huge pages must be free: echo 64 > /proc/sys/vm/nr_hugepages")
    )
    func `Huge pages are among the backings that are tested`() { #expect(TestBacking.available == TestBacking.allCases) }

    @Test(arguments: TestBacking.available)
    func `A discarded run reads as zero, its neighbours as before, and the host has the memory`(backing: TestBacking) throws {
        let made = try Self.filled(backing)
        let memory = made.memory
        #expect(made.residentPages(in: PageRun(0, Self.pages)) == Self.pages)
        let outcome = try memory.discard(Self.run)
        for page in 0..<Self.pages {
            let expected = Self.run.indices.contains(page) ? 0 : UInt8(page % 250 + 1)
            for offset in [0, 4095] as [UInt64] {
                // Check what is resident before guest memory is read through its own addresses: reading may populate a page.
                if !Self.run.indices.contains(page) { #expect(try memory.load(at: GuestAddress(UInt64(page) << 12 + offset)) == expected) }
            }
        }
        let whole = backing.hasHugePages ? PageRun(512, 1024) : Self.run
        #expect(outcome.givenBack == whole.count && outcome.cleared == Self.run.count - whole.count && outcome.absent == 0)
        #expect(made.residentPages(in: whole) == 0)
        #expect(made.residentPages(in: PageRun(0, Self.pages)) == Self.pages - whole.count)
        let present = try memory.presentPages()
        if backing != .adoptedHugeFile { #expect(present == (0..<Self.pages).filter { !whole.indices.contains($0) }) }
        for page in Self.run.indices { #expect(memory.isZero(PageIndex(page))) }
        // It can be used again.
        try memory.setFirstByte(1000, 9)
        #expect(try memory.firstByte(1000) == 9 && memory.firstByte(1002) == 0)
        if let file = memory.hostRanges()[0].file, !backing.hasHugePages {
            let status = UnsafeMutablePointer<stat>.allocate(capacity: 1)
            defer { unsafe status.deallocate() }
            try #require(unsafe fstat(file.descriptor, status) == 0)
            // Reading a hole of shared memory fills it, and this test has just done that.
            #expect(unsafe status.pointee.st_blocks * 512 >= Self.pages * 4096)
        }
    }

    @Test(arguments: TestBacking.available)
    func `Discarding untouched memory does not populate it`(backing: TestBacking) throws {
        let made = try BackedMemory(backing, pages: Self.pages)
        try made.memory.discard(Self.run)
        if backing != .adoptedHugeFile { #expect(made.residentPages(in: PageRun(0, Self.pages)) == 0) }
        #expect(made.memory.isZero(PageIndex(700)))
    }

    @Test(arguments: TestBacking.available, allTrackers)
    func `A page that is written after a discard is harvested`(backing: TestBacking, kind: TrackerKind) throws {
        let made = try Self.filled(backing)
        let memory = made.memory
        let tracker = try makeTracker(kind, for: memory)
        try tracker.arm()
        try memory.setFirstByte(600, 1)
        try memory.discard(Self.run)
        try memory.setFirstByte(700, 1)
        try memory.setFirstByte(1, 1)
        let found = Set(try tracker.harvestedPages(of: memory))
        #expect(found.isSuperset(of: [1, 700]), "\(kind)")
        // Of huge pages, every written part is found, even if zeros were written. Whole huge pages that were given back are not found.
        if kind == .pagemapScan { #expect(backing.hasHugePages ? !found.contains(1200) : found == [1, 700], "\(found.count)") }
        // The pages are armed again.
        #expect(try tracker.harvestedPages(of: memory) == [])
        try memory.setFirstByte(700, 2)
        #expect(try tracker.harvestedPages(of: memory).contains(700))
        tracker.disarm()
    }

    @Test(
        arguments: TestBacking.available.filter { $0.isShared && !$0.hasHugePages },
        scanningTrackers
    )
    func `A written page whose page-table entry the kernel dropped is still harvested, and a clean one is not`(
        backing: TestBacking,
        kind: TrackerKind
    ) throws {
        let made = try Self.filled(backing, PageRun(0, 100))
        let memory = made.memory
        // For shared memory this drops the page-table entries and leaves the pages in the file, as the kernel does when memory is short.
        func takeOut(_ run: PageRun) { unsafe madvise(memory.hostAddress(of: run), run.byteCount, MADV_DONTNEED) }
        takeOut(PageRun(80, 10))
        let tracker = try makeTracker(kind, for: memory)
        #expect(try memory.presentPages() == Array(0..<100))
        try tracker.arm()
        #expect(try tracker.harvestedPages(of: memory) == [])
        for page in [3, 85, 200] { try memory.setFirstByte(page, 77) }
        try memory.touch(86)
        takeOut(PageRun(0, 300))
        #expect(try tracker.harvestedPages(of: memory) == [3, 85, 200])
        #expect(try memory.firstByte(3) == 77 && memory.firstByte(200) == 77)
        takeOut(PageRun(0, 300))
        #expect(try tracker.harvestedPages(of: memory) == [])
        #expect(try memory.presentPages() == Array(0..<100) + [200])
        tracker.disarm()
    }

    @Test(arguments: [TestBacking.adoptedFile, .adoptedFileAddress]
    )
    func `A page that somebody else put into an adopted file counts as present`(backing: TestBacking) throws {
        let made = try BackedMemory(backing, pages: Self.pages)
        let embedder = try #require(made.embedder)
        #expect(unsafe pwrite(embedder.descriptor, [5, 6], 2, off_t(embedder.offset) + 70 * 4096) == 2)
        #expect(try made.memory.presentPages() == [70])
        #expect(try made.memory.firstByte(70) == 5)
        #expect(lseek(embedder.descriptor, 0, SEEK_CUR) == 0, "the embedder's file position has moved")
    }

    // MARK: Subscribers

    private final class Listener: DiscardSubscriber {
        enum Call: Hashable { case will(PageRun, isZero: Bool), did(PageRun, isZero: Bool), failed(PageRun) }
        let calls = Locked<[Call]>([])
        private let memory: GuestRAM

        init(_ memory: GuestRAM) { self.memory = memory }

        private func isZero(_ run: PageRun) -> Bool { memory.isZero(run.first) }
        func willDiscard(_ run: PageRun) { calls.withLock { $0.append(.will(run, isZero: isZero(run))) } }
        func didDiscard(_ run: PageRun) { calls.withLock { $0.append(.did(run, isZero: isZero(run))) } }
        func failedToDiscard(_ run: PageRun) { calls.withLock { $0.append(.failed(run)) } }
    }

    @Test(arguments: TestBacking.available)
    func `Subscribers are told before and after a discard, until they are released`(backing: TestBacking) throws {
        let memory = try Self.filled(backing).memory
        let listener = Listener(memory)
        var subscription: DiscardSubscription? = memory.subscribe(listener)
        let other = memory.subscribe(listener)
        other.cancel()
        let run = PageRun(512, 512)
        try memory.discard(run)
        let expected: [Listener.Call] = [.will(run, isZero: false), .did(run, isZero: true)]
        #expect(listener.calls.withLock { $0 } == expected)
        withExtendedLifetime(subscription) {}
        subscription = nil
        try memory.discard(PageRun(0, 512))
        #expect(listener.calls.withLock { $0 } == expected)
    }

    @Test func `A failed discard is reported to its caller and to subscribers, and the content stays`() throws {
        let made = try Self.filled(.adoptedFile)
        let (memory, embedder) = (made.memory, try #require(made.embedder))
        let listener = Listener(memory)
        let subscription = memory.subscribe(listener)
        // F_SEAL_FUTURE_WRITE: mapped memory stays writable, and punching holes is refused.
        #expect(aerostat_fcntl(embedder.descriptor, aerostat_f_add_seals, 0x10) == 0)
        let error = #expect(throws: SystemError.self) { try memory.discard(PageRun(5, 2)) }
        #expect(error?.code == .notPermitted && error?.description.contains("hole") == true)
        #expect(listener.calls.withLock { $0 } == [.will(PageRun(5, 2), isZero: false), .failed(PageRun(5, 2))])
        #expect(try memory.firstByte(5) == 6)
        subscription.cancel()
    }

    @Test func `Locked memory is not given back`() throws {
        let memory = try Self.filled(.anonymous).memory
        let run = PageRun(0, 8)
        try #require(unsafe mlock(memory.hostAddress(of: run), run.byteCount) == 0)
        #expect(throws: SystemError.self) { try memory.discard(PageRun(2, 2)) }
        #expect(try memory.firstByte(2) == 3)
        unsafe munlock(memory.hostAddress(of: run), run.byteCount)
        try memory.discard(PageRun(2, 2))
        #expect(try memory.firstByte(2) == 0)
    }

    /// A huge page, parts of two others, and single pages.
    private static let several = [PageRun(3, 1), PageRun(512, 512), PageRun(1030, 2), PageRun(100, 3), PageRun(2040, 8)]

    @Test(arguments: TestBacking.available)
    func `Several runs are given back as each would be alone, and subscribers hear of each`(backing: TestBacking) throws {
        let (together, alone) = (try Self.filled(backing), try Self.filled(backing))
        let listener = Listener(together.memory)
        let subscription = together.memory.subscribe(listener)
        var outcomes: [PageRun: DiscardOutcome] = [:]
        together.memory.discard(Self.several) { run, result in outcomes[run] = try? result.get() }
        let calls = listener.calls.withLock { $0 }
        subscription.cancel()
        for run in Self.several { #expect(try outcomes[run] == alone.memory.discard(run)) }
        for page in 0..<Self.pages {
            let isGone = Self.several.contains { $0.indices.contains(page) }
            #expect(try together.memory.firstByte(page) == (isGone ? 0 : UInt8(page % 250 + 1)))
        }
        let before = Self.several.map { Listener.Call.will($0, isZero: false) }
        #expect(calls == before + Self.several.map { .did($0, isZero: true) })
    }

    @Test(arguments: allTrackers)
    func `Several runs that are given back are no writes, and what is written to them afterwards is one`(kind: TrackerKind) throws {
        let memory = try Self.filled(.anonymous).memory
        let tracker = try makeTracker(kind, for: memory)
        try tracker.arm()
        memory.discard(Self.several) { _, _ in }
        #expect(try tracker.harvestedPages(of: memory) == [])
        for page in [3, 600, 2047] { try memory.fill(7, at: GuestAddress(UInt64(page) << 12), byteCount: 1) }
        #expect(try tracker.harvestedPages(of: memory) == [3, 600, 2047])
        tracker.disarm()
    }

    @Test func `Of several runs, one that the kernel refuses does not keep the others`() throws {
        let memory = try Self.filled(.anonymous).memory
        let locked = PageRun(8, 8)
        try #require(unsafe mlock(memory.hostAddress(of: locked), locked.byteCount) == 0)
        defer { unsafe munlock(memory.hostAddress(of: locked), locked.byteCount) }
        let runs = [PageRun(2, 2), PageRun(9, 1), PageRun(20, 1)]
        var refused: [PageRun] = []
        memory.discard(runs) { run, result in if case .failure = result { refused.append(run) } }
        #expect(refused == [PageRun(9, 1)])
        #expect(try [2, 9, 20].map { try memory.firstByte($0) } == [0, 10, 0])
    }
}
