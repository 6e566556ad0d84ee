import AerostatGuestMemory
import AerostatMigration
import Synchronization
import TestSupport
import Testing

@Suite struct FreePageSurveyTests {
    private static let pages = 40_000
    private static let id = CommandID(rawValue: 7)

    /// A survey of a guest whose pages up to 8192 exist; its first 1024 have content.
    private final class Bench: Sendable {
        let memory: GuestRAM
        let survey: FreePageSurvey
        let wakes = Atomic<Int>(0)

        init(opened: Bool = true, existing: Int = 8192) throws {
            memory = try GuestRAM(regionTable(pages: max(FreePageSurveyTests.pages, 2 * existing)))
            let present = try PageSet(pageCount: memory.pageCount)
            present.insert(PageRun(first: PageIndex(0), count: existing))
            for page in 0..<1024 { ScriptedGuest.scribble(memory, page, with: 5) }
            let wake = Locked<@Sendable () -> Void>({})
            survey = try FreePageSurvey(memory, present: present) { wake.withLock { $0 }() }
            wake.withLock { $0 = { [unowned self] in wakes.add(1, ordering: .relaxed) } }
            if opened { survey.hintsOpened(FreePageSurveyTests.id) }
        }

        @discardableResult
        func hint(_ first: Int, _ count: Int, _ id: CommandID = FreePageSurveyTests.id) -> HintOutcome {
            survey.hint(id, address: memory.regions.address(of: PageIndex(first)), byteCount: UInt64(count * GuestPage.size))
        }

        var wakeCount: Int { wakes.load(ordering: .relaxed) }
    }

    @Test func `Cleared pages count that existed, each once`() throws {
        let bench = try Bench()
        bench.survey.hintsStarted(Self.id)
        #expect(bench.hint(2048, 1024) == .taken(pages: 1024, skipped: 1024))
        // Some of it was reported before: no guest does that, and none gains by it.
        #expect(bench.hint(2560, 1024) == .taken(pages: 1024, skipped: 0))
        // Half of it never existed.
        #expect(bench.hint(7680, 1024) == .taken(pages: 1024, skipped: 512))
        let progress = bench.survey.progress
        #expect(progress.isStarted && !progress.isStopped && !progress.keepsContent && !progress.isExhausted)
        #expect(progress.clearedPages == 1536 && progress.reportedPages == 2560)
        #expect(bench.survey.reported.count() == 2560)
        #expect(bench.wakeCount == 1)
        bench.survey.hintsStopped(Self.id)
        #expect(bench.survey.progress.isStopped && bench.wakeCount == 2)
    }

    @Test(arguments: [(0, 1024), (512, 1024), (1000, 64), (0, 4096)])
    func `One block with content tells`(first: Int, count: Int) throws {
        let bench = try Bench()
        bench.hint(first, count)
        #expect(bench.survey.progress.keepsContent && bench.wakeCount == 1)
        bench.hint(first, count)
        #expect(bench.wakeCount == 1)
    }

    @Test func `A block that is in use again does not tell, more than one in four do`() throws {
        let bench = try Bench()
        for block in 0..<8 { bench.hint(2048 + 64 * block, 64) }
        bench.hint(0, 64)
        bench.hint(64, 64)
        #expect(!bench.survey.progress.keepsContent)
        #expect(bench.survey.progress.clearedPages == 512 && bench.survey.progress.reportedPages == 640)
        bench.hint(128, 64)
        #expect(bench.survey.progress.keepsContent && bench.wakeCount == 1)
    }

    @Test func `A page that never existed is not looked at: looking would make it exist`() throws {
        let bench = try Bench()
        for page in 9000..<9100 { ScriptedGuest.scribble(bench.memory, page, with: 5) }
        #expect(bench.hint(9000, 100) == .taken(pages: 100, skipped: 0))
        #expect(!bench.survey.progress.keepsContent)
    }

    @Test func `After 64 MiB that never existed there is nothing to wait for; one page that did begins the count anew`() throws {
        let bench = try Bench()
        bench.hint(10_000, 16_383)
        bench.hint(3000, 1)
        bench.hint(10_000, 16_383)
        #expect(!bench.survey.progress.isExhausted)
        bench.hint(10_000, 1)
        #expect(bench.survey.progress.isExhausted && bench.wakeCount == 1)
    }

    @Test func `Or after a quarter of what exists, where that is more`() throws {
        let bench = try Bench(existing: 80_000)
        bench.hint(80_000, 19_999)
        #expect(!bench.survey.progress.isExhausted)
        bench.hint(100_000, 1)
        #expect(bench.survey.progress.isExhausted)
    }

    @Test func `Other ids, blocks before the command, and what lies outside RAM count for nothing`() throws {
        let bench = try Bench(opened: false)
        #expect(bench.hint(0, 1024) == .stale)
        bench.survey.hintsOpened(Self.id)
        #expect(bench.hint(0, 1024, CommandID(rawValue: 8)) == .stale)
        #expect(bench.survey.hint(Self.id, address: GuestAddress(1 << 40), byteCount: 1 << 22) == .invalid)
        #expect(bench.survey.hint(Self.id, address: GuestAddress(100), byteCount: 4000) == .invalid)
        bench.survey.hintsStarted(CommandID(rawValue: 8))
        bench.survey.hintsStopped(CommandID(rawValue: 8))
        #expect(bench.survey.progress == SurveyProgress() && bench.survey.reported.count() == 0)
        // To the end of RAM, and beyond.
        #expect(bench.hint(Self.pages - 10, 1 << 16) == .taken(pages: 10, skipped: 0))
    }

    @Test func `What the guest cleared stays pending in the ledger, and is known to have been free when it leaves`() throws {
        let ledger = try PageLedger(regionTable(pages: 1000))
        let present = try PageSet(pageCount: 1000)
        present.insert(PageRun(first: PageIndex(0), count: 500))
        ledger.merge(present)
        let cleared = try PageSet(pageCount: 1000)
        cleared.insert(PageRun(first: PageIndex(400), count: 200))
        ledger.recordCleared(cleared)
        #expect(ledger.pendingPages == 500 && ledger.freePageCount() == 0)
        #expect(ledger.counts.reported == 200 && ledger.counts.redirtied == 100 && ledger.counts.skipped == 0)
        #expect(ledger.takeReused(in: PageRun(first: PageIndex(390), count: 20)) == 10)
        #expect(ledger.takeReused(in: PageRun(first: PageIndex(390), count: 300)) == 90)
    }
}
