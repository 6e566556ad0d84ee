import AerostatGuestMemory
import AerostatHost
import AerostatVirtio

// The queues on which the driver names pages by number (specification 5.5.6): arrays of u32. Each is the number of a 4096-byte page,
// whatever the guest's own page size is.

/// A queue on which the driver puts pages into the balloon, or takes them out.
struct PageQueue: BalloonQueueHandler {
    enum Direction: Sendable {
        /// The guest gives pages to the host. They are given back before the buffer is (rules "discard is heard" and "acknowledge after").
        case inflate
        /// The guest takes pages back. When it touches them it gets new ones, which read as zero.
        case deflate
    }

    private let direction: Direction
    private var numbers = PageNumbers()
    /// How many pages the chain in work has moved so far. The destination processes the chain again.
    private(set) var pagesInWork = 0

    init(_ direction: Direction) { self.direction = direction }

    mutating func serve(_ chain: DescriptorChain, isNew: Bool, _ account: inout BalloonAccount) -> ChainStep {
        if isNew {
            switch direction {
            case .inflate: account.counters.inflateBuffers += 1
            case .deflate: account.counters.deflateBuffers += 1
            }
            numbers.begin(chain, &account)
        }
        account.lastMovement = account.clock.now()
        let runs = numbers.nextRuns(&account)
        switch direction {
        case .inflate: pagesInWork += account.inflate(runs)
        case .deflate: for run in runs { pagesInWork += account.deflate(run) }
        }
        guard numbers.isOver else { return .again }
        pagesInWork = 0
        return .finished
    }

    mutating func stop() { self = PageQueue(direction) }
    mutating func reset() { stop() }
}

/// The runs of pages that a buffer names, a piece at a time.
struct PageNumbers: Sendable {
    private static let bytesPerNumber = 4
    /// How many numbers are read, sorted and joined at once. Linux sends 256 in a buffer. 2048 numbers are four huge pages, so a driver
    /// that sends more names whole huge pages.
    static let numbersPerPiece = 2048
    /// The most numbers that are read of one buffer: 4 GiB of guest memory. Bytes past them are counted.
    static let maximumNumbers = 1 << 20
    private var reader = BufferReader(entryBytes: bytesPerNumber)
    private var own = OwnPages()
    /// The last piece's runs that are still to be done, in descending order.
    private var runs: [PageRun] = []

    mutating func begin(_ chain: DescriptorChain, _ account: inout BalloonAccount) {
        reader.begin(chain, maximumEntries: Self.maximumNumbers, &account.counters)
        // The buffer itself is an own page, too. It is read piece by piece, and a piece that became zero would name page 0.
        own = account.rings.with(chain.readable, account.memory.regions)
        runs = []
    }

    /// The next runs, as many as one step can handle.
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

    /// Whether all runs were returned.
    var isOver: Bool { runs.isEmpty && reader.isAtEnd }

    private mutating func readRuns(_ account: inout BalloonAccount) {
        let bytes = FieldBytes(reader.take(Self.numbersPerPiece, from: account.memory, &account.counters))
        var pages: [Int] = []
        pages.reserveCapacity(bytes.bytes.count / Self.bytesPerNumber)
        for place in stride(from: 0, to: bytes.bytes.count, by: Self.bytesPerNumber) {
            if let page = account.page(UInt64(bytes.get(place, as: UInt32.self)), own) { pages.append(page.rawValue) }
        }
        pages.sort(by: >)
        // Descending, so that the next run is the array's last.
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
    /// Takes the last run, or as much of a long one as one step can handle. The cut is at a multiple of 16 MiB, so it never splits a huge
    /// page of 2 MiB.
    mutating func takeLastPart() -> PageRun? {
        guard let run = popLast() else { return nil }
        let boundary = (run.first.rawValue / BalloonAccount.pagesPerStep + 1) * BalloonAccount.pagesPerStep
        guard boundary < run.end.rawValue else { return run }
        append(PageRun(first: PageIndex(boundary), count: run.end.rawValue - boundary))
        return PageRun(first: run.first, count: boundary - run.first.rawValue)
    }
}

extension BalloonAccount {
    /// The page with this number; `nil` if it may not go into the balloon, which is counted.
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
