import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import TestSupport
import Testing

/// The ledger and memory that is given back.
@Suite struct LedgerDiscardTests {
    private static let pages = 64

    /// A ledger whose pages are all pending.
    private static func ledger(pending: PageRun = PageRun(0, pages)) throws -> PageLedger {
        let ledger = try PageLedger(regionTable(pages: pages))
        try merge(pending, into: ledger)
        return ledger
    }

    private static func merge(_ run: PageRun, into ledger: PageLedger) throws {
        let dirty = try PageSet(pageCount: pages)
        dirty.insert(run)
        ledger.merge(dirty)
    }

    private static func take(_ ledger: PageLedger, at first: Int = 0, _ count: Int = 64) -> [PageRun] {
        var cursor = PageIndex(first)
        var runs: [PageRun] = []
        _ = ledger.takeBatch(from: &cursor, maximumPages: count, maximumRuns: 64, into: &runs)
        return runs
    }

    private static func discard(_ run: PageRun, _ ledger: PageLedger) {
        ledger.willDiscard(run)
        ledger.didDiscard(run)
    }

    @Test func `A page that was never sent does not travel when it was given back; one that was is sent again, without being read`() throws
    {
        let ledger = try Self.ledger()
        #expect(Self.take(ledger, 10) == [PageRun(0, 10)])
        Self.discard(PageRun(5, 10), ledger)
        // 0..<5 sent, 5..<10 again, 10..<15 forgotten.
        #expect(ledger.counts.pending == 54 - 5 + 5)
        #expect(ledger.counts.discarded == 10 && ledger.counts.discardedUnsent == 5 && ledger.counts.discardedAfterSent == 5)
        #expect(Self.take(ledger) == [PageRun(5, 5), PageRun(15, 49)])
        #expect(ledger.discardedRuns(in: PageRun(0, 64)) == [PageRun(5, 10)])
        ledger.noteExistence(of: PageRun(6, 1))
        #expect(ledger.discardedRuns(in: PageRun(0, 8)) == [PageRun(5, 1), PageRun(7, 1)])
    }

    @Test func `What was sent last as zero, or told to be free, need not travel again`() throws {
        let ledger = try Self.ledger()
        _ = Self.take(ledger)
        ledger.noteCleared(PageRun(8, 8))
        Self.discard(PageRun(0, 24), ledger)
        #expect(Self.take(ledger) == [PageRun(0, 8), PageRun(16, 8)])
    }

    @Test func `A free page stays free`() throws {
        let ledger = try Self.ledger()
        _ = Self.take(ledger)
        ledger.hintsOpened(.minimum)
        #expect(ledger.hint(.minimum, address: GuestAddress(0), byteCount: 8 << 12) == .taken(pages: 8, skipped: 0))
        Self.discard(PageRun(4, 8), ledger)
        #expect(ledger.counts.pending == 4 && ledger.isFree(PageIndex(5)))
        var runs: [PageRun] = []
        var cursor = PageIndex(0)
        _ = ledger.takeFreeRuns(from: &cursor, maximumRuns: 64, into: &runs)
        #expect(runs == [PageRun(0, 8)])
    }

    @Test func `A write that is harvested between the two calls is not forgotten`() throws {
        let ledger = try Self.ledger()
        ledger.willDiscard(PageRun(0, 8))
        #expect(ledger.counts.pending == 56)
        // The content has changed, the guest writes, and the software log is harvested.
        try Self.merge(PageRun(3, 1), into: ledger)
        ledger.didDiscard(PageRun(0, 8))
        #expect(Self.take(ledger, 8) == [PageRun(3, 1), PageRun(8, 7)])
    }

    @Test func `What the sender took between the two calls is sent again`() throws {
        let ledger = try Self.ledger(pending: PageRun(0, 4))
        ledger.willDiscard(PageRun(0, 8))
        // Written while it is given back, harvested, and read before the content has changed.
        try Self.merge(PageRun(2, 1), into: ledger)
        #expect(Self.take(ledger) == [PageRun(2, 1)])
        ledger.didDiscard(PageRun(0, 8))
        #expect(Self.take(ledger) == [PageRun(2, 1)])
    }

    @Test func `A discard that failed brings back what was forgotten`() throws {
        let ledger = try Self.ledger()
        ledger.willDiscard(PageRun(0, 8))
        ledger.failedToDiscard(PageRun(0, 8))
        #expect(ledger.counts.pending == 64 && ledger.discardedRuns(in: PageRun(0, 64)) == [])
        #expect(ledger.counts.discardedAfterSent == 0)
    }

    /// A guest whose pages hold numbers, a destination that holds what was sent, and steps in any order. 0 is a page that does not exist.
    private struct Tiny {
        static let pages = 130
        let ledger: PageLedger
        let scratch: PageSet
        var random: SeededGenerator
        var source = [Int](repeating: 0, count: pages)
        var destination = [Int](repeating: 0, count: pages)
        var log: Set<Int> = []
        var discard: (run: PageRun, step: Int)?
        /// Taken, and what is known of each page: nothing, that it is zero, or that it has data.
        var batch: [(page: Int, isZero: Bool?)] = []
        var cursor = PageIndex(0)
        var open: CommandID?
        var lastID = CommandID.minimum
        /// Pages that the guest does not use; and who hints one in vain.
        var free: Set<Int> = []
        var stamp = 0

        init(seed: UInt64) throws {
            random = SeededGenerator(seed: seed)
            ledger = try PageLedger(regionTable(pages: Self.pages))
            scratch = try PageSet(pageCount: Self.pages)
            for page in 0..<Self.pages where page % 3 > 0 {
                source[page] = page
                scratch.insert(PageIndex(page))
            }
            ledger.merge(scratch)
        }

        mutating func write(_ page: Int) {
            stamp += 1
            source[page] = Int.random(in: 0..<8, using: &random) == 0 ? 0 : 1000 + stamp
            free.remove(page)
            log.insert(page)
        }

        mutating func step() {
            let page = Int.random(in: 0..<Self.pages, using: &random)
            switch Int.random(in: 0..<12, using: &random) {
            case 0...2: write(page)
            case 3...4: stepDiscard()
            case 5: harvestOne()
            case 6: merge()
            case 7: take()
            case 8...9: sendOne()
            case 10: hint(page)
            default: tellFree()
            }
        }

        mutating func stepDiscard() {
            guard let (run, step) = discard else {
                let first = Int.random(in: 0..<Self.pages, using: &random)
                let run = PageRun(first, Int.random(in: 1...min(20, Self.pages - first), using: &random))
                ledger.willDiscard(run)
                return discard = (run, 0)
            }
            if step == 0 {
                discard = (run, 1)
                guard Int.random(in: 0..<6, using: &random) > 0 else {
                    ledger.failedToDiscard(run)
                    return discard = nil
                }
                for page in run.indices { source[page] = 0 }
            } else {
                ledger.didDiscard(run)
                discard = nil
            }
        }

        mutating func harvestOne() {
            ledger.closeHints()
            open = nil
            guard let page = log.randomElement(using: &random) else { return }
            log.remove(page)
            scratch.insert(PageIndex(page))
        }

        mutating func merge() {
            // The sender is one thread: it merges when a batch has left.
            guard batch.isEmpty else { return }
            ledger.closeHints()
            open = nil
            ledger.merge(scratch)
        }

        mutating func take() {
            guard batch.isEmpty else { return }
            var runs: [PageRun] = []
            if !ledger.takeBatch(from: &cursor, maximumPages: 12, maximumRuns: 5, into: &runs) { cursor = PageIndex(0) }
            batch = runs.flatMap(\.indices).map { ($0, nil) }
            if Int.random(in: 0..<8, using: &random) == 0 {
                ledger.giveBack(runs)
                batch = []
            }
        }

        mutating func sendOne() {
            guard let (page, isZero) = batch.first else { return }
            let run = PageRun(page, 1)
            guard let isZero else {
                // Looked at; a page that was given back and is not there is not read.
                if source[page] != 0 { ledger.noteExistence(of: run) }
                return batch[0].isZero = source[page] == 0
            }
            batch.removeFirst()
            destination[page] = isZero ? 0 : source[page]
            if isZero { ledger.noteCleared(run) }
        }

        mutating func hint(_ page: Int) {
            if open == nil {
                guard batch.isEmpty else { return }
                lastID = lastID.successor
                open = lastID
                ledger.hintsOpened(lastID)
            }
            guard let open else { return }
            free.insert(page)
            // The guest may take it back before the hint is read, as long as its write is in the log.
            if Int.random(in: 0..<3, using: &random) == 0 { write(page) }
            _ = ledger.hint(open, address: GuestAddress(UInt64(page) << 12), byteCount: 4096)
        }

        mutating func tellFree() {
            guard batch.isEmpty else { return }
            var runs: [PageRun] = []
            var cursor = PageIndex(0)
            var more = true
            while more {
                more = ledger.takeFreeRuns(from: &cursor, maximumRuns: 64, into: &runs)
                for run in runs {
                    for page in run.indices { destination[page] = 0 }
                    ledger.noteCleared(run)
                }
            }
        }

        /// The guest stands still: the last round.
        mutating func finish() {
            while discard != nil { stepDiscard() }
            while !batch.isEmpty { sendOne() }
            while !log.isEmpty { harvestOne() }
            merge()
            cursor = PageIndex(0)
            repeat {
                take()
                while !batch.isEmpty { sendOne() }
            } while ledger.pendingPages > 0
            tellFree()
        }
    }

    @Test(
        arguments: 1...300 as ClosedRange<UInt64>
    )
    func `In whatever order a page is written, given back, harvested, taken and sent, it arrives`(seed: UInt64) throws {
        var tiny = try Tiny(seed: seed)
        for _ in 0..<1500 { tiny.step() }
        tiny.finish()
        for page in 0..<Tiny.pages {
            if tiny.ledger.isFree(PageIndex(page)), tiny.free.contains(page) {
                #expect(tiny.destination[page] == 0, "seed \(seed), free page \(page)")
            } else {
                #expect(tiny.destination[page] == tiny.source[page], "seed \(seed), page \(page)")
            }
        }
        #expect(tiny.ledger.counts.pending == 0)
    }
}
