import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc
import TestSupport
import Testing

/// Guest memory is given back to the host during a migration.
@Suite(.serialized) struct DiscardDuringMigrationTests {
    /// The pages of a run that take memory of this host.
    private static func residentPages(of memory: GuestRAM, in pages: Set<Int>) -> Int {
        var state: UInt8 = 0
        return pages.count { page in
            let result = unsafe mincore(memory.hostAddress(of: PageRun(page, 1)), GuestPage.size, &state)
            precondition(result == 0, "mincore")
            return state & 1 != 0
        }
    }

    @Test(
        arguments: TestBacking.available,
        trackers
    )
    func `Memory that is given back meanwhile arrives as zero or as it was written since, and the source does not read it`(
        backing: TestBacking,
        tracker: TrackerKind
    ) throws {
        // At most two huge pages at a time are given back.
        var setup = Pair.Setup(tracker: tracker, writing: 8, working: 1100..<1900, backing: backing, givingBack: 0..<1024)
        setup.parameters.verifies = true
        setup.parameters.bandwidthLimit = 40 << 20
        setup.parameters.downtimeLimit = .milliseconds(6)
        setup.parameters.timeout = .milliseconds(250)
        setup.parameters.onTimeout = .pause
        let pair = try Pair(setup)
        #expect(try pair.run() == .completed)
        let (givenBack, gone) = (pair.source.givenBack, pair.source.gone)
        #expect(givenBack > 500 && (backing.hasHugePages || gone.count > 100), "\(givenBack) pages, \(gone.count) gone")
        // Measured before anybody here reads the pages. Parts of huge pages come back when something next to them is written. Pages that
        // the kernel was about to read when they were given back are read.
        if !backing.hasHugePages {
            let resident = Self.residentPages(of: pair.source.memory, in: gone)
            #expect(resident < gone.count / 8, "\(resident) of \(gone.count)")
        }
        #expect(try pair.differences() == [])
        #expect(pair.migration.report.verify?.status == .passed)
        pair.end()
    }

    @Test(arguments: trackers)
    func `What is given back before it was sent does not travel`(tracker: TrackerKind) throws {
        var setup = Pair.Setup(pages: 4096, tracker: tracker)
        setup.parameters.bandwidthLimit = 20 << 20
        let pair = try Pair(setup)
        // The bandwidth limit decides when each page is sent: the end of memory comes after 0.8 s.
        let run = PageRun(3000, 1000)
        try pair.start(awaiting: { $0.ram.normal > 0 })
        try pair.source.memory.discard(run)
        #expect(pair.migration.wait() == .completed)
        #expect(Self.residentPages(of: pair.source.memory, in: Set(run.indices)) == 0)
        #expect(try pair.differences() == [])
        let report = pair.migration.report
        #expect(report.ram.normal + report.ram.duplicate < 3300, "\(report.ram)")
        #expect(report.balloon.discardedPages == 1000 && report.balloon.unsentPages > 700, "\(report.balloon)")
        #expect(report.balloon.unsentPages + report.balloon.zeroedPages <= 1000, "\(report.balloon)")
        pair.end()
    }

    @Test(arguments: trackers)
    func `What is given back after it was sent is given back at the destination too`(tracker: TrackerKind) throws {
        var setup = Pair.Setup(tracker: tracker, writing: 24, working: 0..<512)
        setup.parameters.bandwidthLimit = 60 << 20
        setup.parameters.downtimeLimit = .milliseconds(6)
        setup.parameters.timeout = .milliseconds(400)
        setup.parameters.onTimeout = .pause
        let pair = try Pair(setup)
        let run = PageRun(1000, 800)
        try pair.start(awaiting: { $0.roundCount >= 2 })
        let there = try #require(pair.destination).memory
        // Every fifth page holds zeros.
        #expect(Self.residentPages(of: there, in: Set(run.indices)) == 640)
        try pair.source.memory.discard(run)
        #expect(pair.migration.wait() == .completed)
        #expect(Self.residentPages(of: pair.source.memory, in: Set(run.indices)) == 0)
        let balloon = pair.migration.report.balloon
        #expect((balloon.discardedPages, balloon.unsentPages, balloon.zeroedPages) == (800, 0, 640), "\(balloon)")
        // Shorter runs, at the end of a frame, are only cleared.
        #expect(Self.residentPages(of: there, in: Set(run.indices)) < 32)
        #expect(try pair.differences() == [])
        pair.end()
    }

    @Test(arguments: [false, true])
    func `A block that is unplugged meanwhile arrives as zero; what was never plugged costs nothing`(late: Bool) throws {
        let table = regionTable([(0, 512), (8192, 1024), (16384, 1 << 20)])
        func region(_ index: Int) -> MemoryRegion { table.regions[index] }
        let memory = try GuestRAM(table, blocks: [MemoryBlock(region(0), .anonymous), MemoryBlock(region(1), .memfd)])
        var setup = Pair.Setup(tracker: trackers.last!, memory: memory, filled: 0..<1536)
        setup.parameters.bandwidthLimit = 20 << 20
        setup.parameters.verifies = true
        let pair = try Pair(setup)
        try pair.start(awaiting: { $0.ram.normal >= (late ? 700 : 1) })
        try memory.unplug(region(1))
        #expect(pair.migration.wait() == .completed)
        #expect(pair.migration.report.verify?.status == .passed)
        let there = try #require(pair.destination).memory
        for page in 0..<512 { #expect(there.digest(PageIndex(page)) == memory.digest(PageIndex(page))) }
        for page in 512..<1536 { #expect(there.isZero(PageIndex(page))) }
        let present = try PageSet(pageCount: there.pageCount)
        try there.insertPresentPages(into: present)
        #expect(present.count(in: PageRun(1536, 1 << 20)) == 0)
        #expect(pair.migration.report.absentPages >= 1 << 20)
        pair.end()
    }

    @Test(arguments: trackers)
    func `A block that is plugged meanwhile arrives with what was written into it`(tracker: TrackerKind) throws {
        let table = regionTable([(0, 1024), (8192, 1024)])
        let memory = try GuestRAM(table, blocks: [MemoryBlock(table.regions[0], .memfd)])
        var setup = Pair.Setup(tracker: tracker, memory: memory, filled: 0..<1024)
        setup.parameters.bandwidthLimit = 20 << 20
        setup.parameters.verifies = true
        let pair = try Pair(setup)
        try pair.start(awaiting: { $0.ram.normal > 0 })
        try memory.plug(MemoryBlock(table.regions[1], .anonymous))
        for page in 1100..<1200 { ScriptedGuest.scribble(memory, page, with: UInt64(page)) }
        #expect(pair.migration.wait() == .completed)
        #expect(try pair.differences() == [])
        #expect(pair.migration.report.ram.normal >= 100)
        pair.end()
    }

    @Test func `Data for memory that is absent at the destination is refused there, and the guest stays`() throws {
        var setup = Pair.Setup(memory: try GuestRAM(regionTable([(0, 512), (8192, 512)])))
        setup.filled = 0..<1024
        setup.destinationMemory = { regions in try GuestRAM(regions, blocks: [MemoryBlock(regions.regions[0], .anonymous)]) }
        let pair = try Pair(setup)
        guard case .failed(.peer(let reason)) = try pair.run() else {
            Issue.record("\(pair.migration.report)")
            return
        }
        #expect(reason.contains("absent here"))
        expectGuestIsHere(pair)
        pair.end()
    }

    @Test func `Memory that is given back while the guest is paused fails the migration instead of getting lost`() throws {
        let pair = try Pair(Pair.Setup())
        let memory = pair.source.memory
        pair.source.misbehaveWhileSaving { _ = try? memory.discard(PageRun(0, 3)) }
        guard case .failed(.guest(let reason)) = try pair.run() else {
            Issue.record("\(pair.migration.report)")
            return
        }
        #expect(reason.contains("given back while it was paused"))
        expectGuestIsHere(pair)
        pair.end()
    }
}
