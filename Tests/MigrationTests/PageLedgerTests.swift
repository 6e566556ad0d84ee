import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import TestSupport
import Testing

/// The ledger beside a dictionary of page states.
@Suite struct PageLedgerTests {
    private static let regions = regionTable([(0, 700), (1000, 1348)])

    private struct Model {
        var pending: Set<Int> = []
        var free: Set<Int> = []
        var announced: Set<Int> = []
        var skipped: Set<Int> = []
        /// Were free, were written, and have not left.
        var reused: Set<Int> = []
        var redirtied = 0
        var reported = 0
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `Random hints, harvests and batches match the model`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let ledger = try PageLedger(Self.regions)
        let dirty = try PageSet(pageCount: Self.regions.pageCount)
        var model = Model()
        var open: CommandID?
        var last = CommandID.minimum
        var cursor = PageIndex(0)
        var freeCursor = PageIndex(0)
        var runs: [PageRun] = []
        for step in 0..<3000 {
            let place: Comment = "seed \(seed), step \(step)"
            switch Int.random(in: 0..<10, using: &random) {
            case 0:
                ledger.closeHints()
                open = nil
                let first = Int.random(in: 0..<2048, using: &random)
                let pages = Set((0..<Int.random(in: 1...900, using: &random)).map { (first + $0 * ($0 % 3 + 1)) % 2048 })
                for page in pages { dirty.insert(PageIndex(page)) }
                #expect(ledger.merge(dirty) == pages.count, place)
                #expect(dirty.count() == 0, place)
                model.redirtied += pages.intersection(model.free).count
                model.reused.formUnion(pages.intersection(model.free))
                model.pending.formUnion(pages)
                model.free.subtract(pages)
                model.announced.subtract(pages)
                model.skipped.subtract(pages)
            case 1:
                guard open == nil else { break }
                last = last.successor
                ledger.hintsOpened(last)
                open = last
            case 2...5:
                // Rule "the id decides": some come under an old id, or after the end.
                let id = Int.random(in: 0..<5, using: &random) == 0 ? CommandID.minimum : last
                let address = UInt64.random(in: 0..<2400 * 4096, using: &random)
                let count = UInt64.random(in: 0...400 * 4096, using: &random)
                let pages = Set(Self.regions.wholePages(at: GuestAddress(address), byteCount: count).runs.flatMap(\.indices))
                let outcome = ledger.hint(id, address: GuestAddress(address), byteCount: count)
                if id != open {
                    #expect(outcome == .stale, place)
                } else if pages.isEmpty {
                    #expect(outcome == .invalid, place)
                } else {
                    let spared = pages.intersection(model.pending)
                    #expect(outcome == .taken(pages: pages.count, skipped: spared.count), place)
                    model.pending.subtract(spared)
                    model.skipped.formUnion(spared)
                    model.free.formUnion(pages)
                    model.reported += pages.count
                }
            case 6...7:
                let maximumPages = Int.random(in: 1...700, using: &random)
                let maximumRuns = Int.random(in: 1...40, using: &random)
                let start = cursor
                let more = ledger.takeBatch(from: &cursor, maximumPages: maximumPages, maximumRuns: maximumRuns, into: &runs)
                let taken = runs.flatMap(\.indices)
                #expect(taken.count <= maximumPages && runs.count <= maximumRuns, place)
                // All that is pending up to the cursor, and nothing else.
                let expected = model.pending.filter { ($0 >= start.rawValue) && $0 < cursor.rawValue }
                #expect(Set(taken) == expected && taken == taken.sorted(), place)
                #expect(!taken.isEmpty || cursor > start || start.rawValue == 2048, place)
                #expect(more == (cursor.rawValue < 2048), place)
                model.pending.subtract(taken)
                // Some batches never leave.
                if Int.random(in: 0..<4, using: &random) == 0 {
                    ledger.giveBack(runs)
                    model.pending.formUnion(taken.filter { !model.free.contains($0) })
                } else {
                    #expect(runs.reduce(0) { $0 + ledger.takeReused(in: $1) } == model.reused.intersection(taken).count, place)
                    model.reused.subtract(taken)
                }
                if !more { cursor = PageIndex(0) }
            case 8:
                let start = freeCursor
                let more = ledger.takeFreeRuns(from: &freeCursor, maximumRuns: Int.random(in: 64...200, using: &random), into: &runs)
                let taken = runs.flatMap(\.indices)
                let expected = model.free.subtracting(model.announced).filter { $0 >= start.rawValue && $0 < freeCursor.rawValue }
                #expect(taken == expected.sorted(), place)
                model.announced.formUnion(taken)
                if Int.random(in: 0..<4, using: &random) == 0 {
                    ledger.withdraw(runs)
                    model.announced.subtract(taken)
                }
                if !more { freeCursor = PageIndex(0) }
            default:
                let page = Int.random(in: 0..<2048, using: &random)
                #expect(ledger.isFree(PageIndex(page)) == model.free.contains(page), place)
            }
            let counts = ledger.counts
            #expect(counts.pending == model.pending.count && counts.skipped == model.skipped.count, place)
            #expect(counts.redirtied == model.redirtied && counts.reported == model.reported, place)
        }
        #expect(ledger.freePageCount() == model.free.count)
    }

    @Test func `A guest that hints nonsense for years reaches the end of a counter, and no trap`() throws {
        let ledger = try PageLedger(regionTable(pages: 64))
        ledger.hintsOpened(.minimum)
        for _ in 0..<3 { #expect(ledger.hint(.minimum, address: GuestAddress(1 << 40), byteCount: 1 << 62) == .invalid) }
        #expect(ledger.counts.droppedBytes == .max)
        #expect(ledger.hint(.minimum, address: GuestAddress(1 << 40), byteCount: .max) == .invalid)
        #expect(ledger.counts.droppedBytes == .max)
    }

    @Test func `A page hinted while the sender had it, in a batch that did not leave, was spared by the hint`() throws {
        let ledger = try PageLedger(regionTable(pages: 64))
        let dirty = try PageSet(pageCount: 64)
        dirty.insert(PageRun(0, 10))
        ledger.merge(dirty)
        ledger.hintsOpened(.minimum)
        var cursor = PageIndex(0)
        var runs: [PageRun] = []
        _ = ledger.takeBatch(from: &cursor, maximumPages: 64, maximumRuns: 10, into: &runs)
        #expect(ledger.hint(.minimum, address: GuestAddress(4096), byteCount: 3 * 4096) == .taken(pages: 3, skipped: 0))
        ledger.giveBack(runs)
        #expect(ledger.counts.skipped == 3 && ledger.counts.pending == 7)
    }

    @Test func `A harvest may not be merged while hints are open`() async {
        await #expect(processExitsWith: .failure) {
            let ledger = try PageLedger(regionTable(pages: 64))
            ledger.hintsOpened(.minimum)
            ledger.merge(try PageSet(pageCount: 64))
        }
    }

    @Test func `A batch that must be cut ends at a huge page where it has one inside`() throws {
        let ledger = try PageLedger(regionTable(pages: 4096))
        let dirty = try PageSet(pageCount: 4096)
        dirty.insert(PageRun(100, 3996))
        ledger.merge(dirty)
        var cursor = PageIndex(0)
        var runs: [PageRun] = []
        var sizes: [PageRun] = []
        while ledger.takeBatch(from: &cursor, maximumPages: 2000, maximumRuns: 10, into: &runs) { sizes += runs }
        sizes += runs
        #expect(sizes == [PageRun(100, 1948), PageRun(2048, 1536), PageRun(3584, 512)])
        #expect(ledger.pendingPages == 0)
    }

    @Test func `Progress counts only the open command, and its end wakes the driver`() throws {
        let ledger = try PageLedger(Self.regions)
        let wakes = Locked(0)
        ledger.setWake { wakes.withLock { $0 += 1 } }
        let (old, new) = (CommandID.minimum, CommandID.minimum.successor)
        ledger.hintsOpened(new)
        ledger.hintsStarted(old)
        ledger.hintsStopped(old)
        #expect(ledger.progress == HintProgress() && wakes.withLock { $0 } == 0)
        ledger.hintsStarted(new)
        ledger.hintsStopped(new)
        #expect(ledger.progress.isStarted && ledger.progress.isStopped && wakes.withLock { $0 } == 2)
        ledger.closeHints()
        ledger.hintsOpened(new.successor)
        #expect(ledger.progress == HintProgress())
        #expect(CommandID(rawValue: .max).successor == .minimum && CommandID.done.successor == .minimum)
    }
}
