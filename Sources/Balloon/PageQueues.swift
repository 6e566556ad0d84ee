import AerostatGuestMemory
import AerostatVirtio

// The queues on which the driver names pages by their numbers (specification 5.5.6): arrays of u32, each the number of a page of 4096
// bytes, whatever the guest's own pages are.

/// Pages that the guest gives to the host. They are given back before the buffer is (rules "discard is heard" and "acknowledge after").
struct InflateQueue: BalloonQueueHandler {
    private var numbers = PageNumbers()
    /// How many pages the chain in work has put into the balloon. Whoever takes over puts them in again.
    private(set) var pagesInWork = 0

    mutating func serve(_ chain: DescriptorChain, isNew: Bool, _ account: inout BalloonAccount) -> ChainStep {
        if isNew {
            account.counters.inflateBuffers += 1
            numbers.begin(chain, &account)
        }
        account.lastMovement = account.clock.now()
        pagesInWork += account.inflate(numbers.nextRuns(&account))
        guard numbers.isOver else { return .again }
        pagesInWork = 0
        return .finished
    }

    mutating func stop() { self = InflateQueue() }
    mutating func reset() { self = InflateQueue() }
}

/// Pages that the guest takes back. It gets new ones, which read as zero, when it touches them.
struct DeflateQueue: BalloonQueueHandler {
    private var numbers = PageNumbers()
    /// How many pages the chain in work has taken out of the balloon. Whoever takes over takes them out again.
    private(set) var pagesInWork = 0

    mutating func serve(_ chain: DescriptorChain, isNew: Bool, _ account: inout BalloonAccount) -> ChainStep {
        if isNew {
            account.counters.deflateBuffers += 1
            numbers.begin(chain, &account)
        }
        account.lastMovement = account.clock.now()
        for run in numbers.nextRuns(&account) { pagesInWork += account.deflate(run) }
        guard numbers.isOver else { return .again }
        pagesInWork = 0
        return .finished
    }

    mutating func stop() { self = DeflateQueue() }
    mutating func reset() { self = DeflateQueue() }
}

/// The runs of pages that a buffer names, some at a time.
struct PageNumbers: Sendable {
    private static let bytesPerNumber = 4
    /// Read, sorted and joined at once. Linux sends 256 in a buffer. Four huge pages, so that a driver that sends more names whole ones.
    static let numbersPerPiece = 2048
    /// The most that are read of one buffer: 4 GiB of guest memory. What lies behind them is counted.
    static let maximumNumbers = 1 << 20
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

    /// The next runs, as many as one step can do.
    mutating func nextRuns(_ account: inout BalloonAccount) -> [PageRun] {
        if runs.isEmpty { readRuns(&account) }
        var next: [PageRun] = []
        var pages = 0
        while next.count < BalloonAccount.runsPerStep, pages < BalloonAccount.pagesPerStep, let part = runs.takeLastPart() {
            next.append(part)
            pages += part.count
        }
        return next
    }

    /// Whether all were handed out.
    var isOver: Bool { runs.isEmpty && reader.isAtEnd }

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

extension [PageRun] {
    /// Takes the last run out; of a long one, so much that one step can do it. It ends where no huge page is cut.
    mutating func takeLastPart() -> PageRun? {
        guard let run = popLast() else { return nil }
        let boundary = (run.first.rawValue / BalloonAccount.pagesPerStep + 1) * BalloonAccount.pagesPerStep
        guard boundary < run.end.rawValue else { return run }
        append(PageRun(first: PageIndex(boundary), count: run.end.rawValue - boundary))
        return PageRun(first: run.first, count: boundary - run.first.rawValue)
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
