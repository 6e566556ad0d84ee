import AerostatGuestMemory
import AerostatHost
import AerostatVirtio

/// What the balloon's queues share: which pages are in the balloon, how pages are given back to the host, and what was counted.
///
/// Part of what the device's lock guards. `ballooned` may be read without it.
struct BalloonAccount: Sendable {
    let memory: GuestRAM
    let clock: BalloonClock
    /// The pages that the driver has put into the balloon and not taken out. It is empty again after a reset: a driver that begins anew
    /// has an empty balloon, and its memory is its own, whatever the last one said.
    let ballooned: PageSet
    private var knownPages = 0
    /// Pages in the balloon of which only the number is known: they were put in before the guest arrived here.
    var arrivedPages = 0
    var counters = BalloonCounters()
    /// What the kernel said when it last refused.
    var lastError: SystemError?
    /// When a page last went into the balloon or came out.
    var lastMovement: MonotonicClock.Instant?
    /// Of the active queues.
    var rings = OwnPages()
    var negotiated = VirtioFeatures()
    /// What the driver last said that the guest's free pages contain. It stays through resets: when a guest resumes from suspend, Linux's
    /// driver negotiates anew and does not say it again, and the pages are still filled. A driver that is new says it.
    var promisedPoison: UInt32 = 0

    #if BrokenEngines
        /// What is given back later than it should be, and how many chains came since.
        var late: [(run: PageRun, chains: Int)] = []
    #endif

    private var reasons: [(number: Int, reason: String)] = []
    private var nextNumber = 0

    init(_ memory: GuestRAM, _ ballooned: PageSet, _ clock: BalloonClock) {
        self.memory = memory
        self.clock = clock
        self.ballooned = ballooned
    }

    /// How many pages are in the balloon.
    var pageCount: Int { knownPages + arrivedPages }

    /// What the guest relies on to find in its free pages, repeated; `nil` where nothing was agreed.
    var poison: UInt32? {
        #if BrokenEngines
            if BrokenEngine.isActive(.ignoresPoison) { return nil }
        #endif
        return negotiated.contains(.pagePoison) ? promisedPoison : nil
    }

    // MARK: Inhibition

    var isInhibited: Bool { !reasons.isEmpty }
    var inhibitions: [String] { reasons.map(\.reason) }

    mutating func inhibit(_ reason: String) -> Int {
        nextNumber += 1
        reasons.append((nextNumber, reason))
        return nextNumber
    }

    mutating func allow(_ number: Int) { reasons.removeAll { $0.number == number } }

    // MARK: Giving back

    /// The most pages, and the most runs of them, that are given back in one hold of the lock: about a millisecond.
    static let pagesPerStep = 4096
    static let runsPerStep = 256

    /// Free pages that the guest does not use. Where it relies on what they contain they stay as they are: they would become zero.
    mutating func report(_ run: PageRun) {
        counters.reportedPages += run.count
        guard poison ?? 0 == 0 else {
            counters.poisonedPages += run.count
            return
        }
        #if BrokenEngines
            if postpones(.reportsLate, [run]) { return }
        #endif
        giveBack([run])
    }

    /// Gives runs back to the host, unless something forbids it. Errors are counted: the pages stay the guest's, as they are.
    /// - Returns: runs of which something stays, because it is a part of a huge page.
    @discardableResult
    mutating func giveBack(_ runs: [PageRun]) -> [PageRun] {
        guard !isInhibited else {
            counters.inhibitedPages += runs.reduce(0) { $0 + $1.count }
            return []
        }
        return discard(runs)
    }

    @discardableResult
    private mutating func discard(_ runs: [PageRun]) -> [PageRun] {
        var cleared: [PageRun] = []
        memory.discard(runs) { run, result in
            switch result {
            case .success(let outcome):
                counters.givenBackPages += outcome.givenBack
                counters.clearedPages += outcome.cleared
                counters.absentPages += outcome.absent
                if outcome.cleared > 0 { cleared.append(run) }
            case .failure(let error):
                counters.failedPages += run.count
                lastError = error
            }
        }
        return cleared
    }

    // MARK: The balloon

    /// Pages go into the balloon.
    /// - Returns: how many were not in it before.
    mutating func inflate(_ runs: [PageRun]) -> Int {
        var (new, pages) = (0, 0)
        for run in runs {
            new += ballooned.insert(run)
            pages += run.count
        }
        knownPages += new
        // A driver that says otherwise says something wrong.
        arrivedPages = min(arrivedPages, memory.pageCount - knownPages)
        counters.inflatedPages += new
        counters.repeatedPages += pages - new
        #if BrokenEngines
            if postpones(.acknowledgesBeforeDiscard, runs) { return new }
        #endif
        // Also what was in it already. A driver need not wait until its deflate is answered before it uses a page and puts it in again, and
        // the device may look at the second first. The page is the host's until the buffer is given back, so nothing can be lost.
        for run in giveBack(runs) { giveBackHugePages(around: run) }
        return new
    }

    /// The last part of a huge page went into the balloon: the whole of it is given back.
    ///
    /// Only where the driver promised to tell before it touches a page again. Without the promise it may use one part while the device
    /// believes that part to be in the balloon, and that would be lost.
    private mutating func giveBackHugePages(around run: PageRun) {
        guard negotiated.contains(.mustTellHost) else { return }
        var last: PageRun?
        for page in [run.first, PageIndex(run.end.rawValue - 1)] {
            guard let huge = memory.hugePage(around: page), huge != last else { continue }
            last = huge
            // Those that the run covers as a whole are given back already.
            let isCovered = run.first <= huge.first && huge.end <= run.end
            #if BrokenEngines
                if BrokenEngine.isActive(.discardsPartialHugePage) { discard([huge]) }
            #endif
            guard !isCovered, ballooned.count(in: huge) == huge.count else { continue }
            let before = counters.givenBackPages
            discard([huge])
            if counters.givenBackPages > before { counters.completedHugePages += 1 }
        }
    }

    /// Pages come out of the balloon: the guest may use them as soon as the buffer is given back.
    /// - Returns: how many were in it.
    mutating func deflate(_ run: PageRun) -> Int {
        let known = ballooned.remove(run)
        knownPages -= known
        let arrived = min(run.count - known, arrivedPages)
        arrivedPages -= arrived
        counters.deflatedPages += known + arrived
        counters.unknownPages += run.count - known - arrived
        return known + arrived
    }

    /// The driver begins anew.
    mutating func reset() {
        if knownPages > 0 { ballooned.removeAll() }
        (knownPages, arrivedPages) = (0, 0)
        rings = OwnPages()
        negotiated = []
        #if BrokenEngines
            late = []
        #endif
    }
}
