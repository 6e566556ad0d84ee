import AerostatGuestMemory
import AerostatHost
import AerostatVirtio

// The queues on which the driver names pages by their numbers (specification 5.5.6): arrays of u32, each the number of a page of 4096
// bytes, whatever the guest's own pages are.

/// Pages that the guest gives to the host. They are given back before the buffer is (rules "discard is heard" and "acknowledge after").
struct InflateQueue: BalloonQueueHandler {
    private var numbers = PageNumbers()

    mutating func serve(_ chain: DescriptorChain, isNew: Bool, _ account: inout BalloonAccount) -> ChainStep {
        if isNew {
            account.counters.inflateBuffers += 1
            numbers.begin(chain, &account)
        }
        account.lastMovement = MonotonicClock.now()
        return numbers.forEachRun(&account) { run, account in account.inflate(run) } ? .finished : .again
    }

    mutating func stop() { numbers = PageNumbers() }
    mutating func reset() { numbers = PageNumbers() }
}

/// Pages that the guest takes back. It gets new ones, which read as zero, when it touches them.
struct DeflateQueue: BalloonQueueHandler {
    private var numbers = PageNumbers()

    mutating func serve(_ chain: DescriptorChain, isNew: Bool, _ account: inout BalloonAccount) -> ChainStep {
        if isNew {
            account.counters.deflateBuffers += 1
            numbers.begin(chain, &account)
        }
        account.lastMovement = MonotonicClock.now()
        return numbers.forEachRun(&account) { run, account in account.deflate(run) } ? .finished : .again
    }

    mutating func stop() { numbers = PageNumbers() }
    mutating func reset() { numbers = PageNumbers() }
}

/// The runs of pages that a buffer names, some at a time.
struct PageNumbers: Sendable {
    private static let bytesPerNumber = 4
    /// Read, sorted and joined at once. Linux sends 256 in a buffer. Four huge pages, so that a driver that sends more names whole ones.
    static let numbersPerPiece = 2048
    /// The most that are read of one buffer: 4 GiB of guest memory. What lies behind them is counted.
    static let maximumNumbers = 1 << 20
    /// Long runs are cut here, so that no huge page is cut.
    private static let cut = BalloonAccount.pagesPerStep

    private var reader = BufferReader(entryBytes: bytesPerNumber)
    private var own = OwnPages()
    /// Those of the last piece that were not worked on, in descending order.
    private var runs: [PageRun] = []

    mutating func begin(_ chain: DescriptorChain, _ account: inout BalloonAccount) {
        reader.begin(chain, maximumEntries: Self.maximumNumbers, &account.counters)
        // The buffer itself, too: it is read piece by piece, and a piece that became zero would name page 0.
        own = account.rings.with(chain.readable, account.memory.regions)
        runs = []
    }

    /// Works on the next runs, within the bounds of one step.
    /// - Returns: whether those were the last ones.
    mutating func forEachRun(_ account: inout BalloonAccount, _ body: (PageRun, inout BalloonAccount) -> Void) -> Bool {
        if runs.isEmpty { readRuns(&account) }
        var (count, pages) = (0, 0)
        while let run = runs.last, count < BalloonAccount.runsPerStep, pages < BalloonAccount.pagesPerStep {
            let boundary = (run.first.rawValue / Self.cut + 1) * Self.cut
            let part = PageRun(first: run.first, count: min(run.count, boundary - run.first.rawValue))
            runs.removeLast()
            if part.count < run.count { runs.append(PageRun(first: part.end, count: run.count - part.count)) }
            body(part, &account)
            count += 1
            pages += part.count
        }
        return runs.isEmpty && reader.isAtEnd
    }

    private mutating func readRuns(_ account: inout BalloonAccount) {
        let bytes = reader.take(Self.numbersPerPiece, from: account.memory, &account.counters)
        var pages: [Int] = []
        pages.reserveCapacity(bytes.count / Self.bytesPerNumber)
        for place in stride(from: 0, to: bytes.count, by: Self.bytesPerNumber) {
            let number = (0..<Self.bytesPerNumber).reduce(UInt64(0)) { $0 | UInt64(bytes[place + $1]) << UInt64(8 * $1) }
            if let page = account.page(number, own) { pages.append(page.rawValue) }
        }
        pages.sort(by: >)
        // Descending, so that the next one to work on is the last of the array.
        var (first, end) = (0, 0)
        for page in pages {
            if page == first, first < end {
                account.counters.repeatedPages += 1
            } else if page == first - 1, first < end {
                first = page
            } else {
                if first < end { runs.append(PageRun(first: PageIndex(first), count: end - first)) }
                (first, end) = (page, page + 1)
            }
        }
        if first < end { runs.append(PageRun(first: PageIndex(first), count: end - first)) }
    }
}

extension BalloonAccount {
    /// The page with the number that the guest gives it; `nil`, and counted, where it is not for the balloon.
    fileprivate mutating func page(_ number: UInt64, _ own: OwnPages) -> PageIndex? {
        guard let page = memory.regions.page(containing: GuestAddress(number << UInt64(GuestPage.shift))) else {
            counters.outsidePages += 1
            return nil
        }
        guard memory.isPresent(PageRun(first: page, count: 1)) else {
            counters.absentPages += 1
            return nil
        }
        guard !own.contains(page) else {
            counters.ownPages += 1
            return nil
        }
        return page
    }
}
