public import AerostatGuestMemory
public import AerostatHost

/// The destination's account of its pages: which hold data, which are free, and which were compared.
public struct ReceivedPages: Sendable {
    /// Pages that hold bytes from the source. All others were never touched, and read as zero.
    private let received: PageSet
    private let free: PageSet
    private let compared: PageSet
    private(set) public var ready = Ready()

    public init(pageCount: Int) throws(SystemError) {
        received = try PageSet(pageCount: pageCount)
        free = try PageSet(pageCount: pageCount)
        compared = try PageSet(pageCount: pageCount)
    }

    /// Data is about to be stored.
    /// - Returns: whether the whole run holds data already and so is populated.
    public func noteData(_ run: PageRun) -> Bool {
        free.remove(run)
        return received.insert(run) == 0
    }

    /// The pages are zero now.
    /// - Returns: the runs that hold older data and must be cleared; the rest was never touched.
    public func noteZero(_ run: PageRun) -> [PageRun] {
        free.remove(run)
        return received.runs(within: run)
    }

    /// The zero pages were given back to the host.
    public func noteGone(_ run: PageRun) { received.remove(run) }

    /// The pages are free now.
    /// - Returns: the runs that hold older data; they are given back to the host, and read as zero (rule "free, never stale data").
    public func noteFree(_ run: PageRun) -> [PageRun] {
        free.insert(run)
        let runs = received.runs(within: run)
        for run in runs { received.remove(run) }
        return runs
    }

    /// Compares one run of the source's digests.
    /// - Parameter digest: returns the digest of a page here. It is called only for pages that hold data; all others are zero.
    public mutating func compare(_ theirs: DigestRun, digest: (PageIndex) -> UInt64) {
        for (offset, expected) in theirs.digests.enumerated() {
            let page = theirs.first + offset
            compared.insert(page)
            if free.contains(page) {
                // The source says that the page is in use, so the disagreement itself is a difference.
                note(differing: page)
                continue
            }
            ready.pagesCompared += 1
            let found = received.contains(page) ? digest(page) : PageDigest.zeroPage
            if found != expected { note(differing: page) }
        }
    }

    /// Finds data in pages that do not exist at the source (it sent no digest for them) and are not free.
    public mutating func finishComparison(isZero: (PageIndex) -> Bool) {
        ready.pagesFree = free.count()
        var extra: [PageIndex] = []
        received.forEachUsedWord { word in
            var bits = received.load(word: word) & ~compared.load(word: word) & ~free.load(word: word)
            while bits != 0 {
                let page = PageIndex(word << 6 + bits.trailingZeroBitCount)
                if !isZero(page) { extra.append(page) }
                bits &= bits - 1
            }
        }
        for page in extra { note(differing: page) }
    }

    private mutating func note(differing page: PageIndex) {
        ready.differences += 1
        if ready.firstDifference.map({ page.rawValue < $0 }) ?? true { ready.firstDifference = page.rawValue }
    }
}
