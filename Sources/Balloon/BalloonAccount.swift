import AerostatGuestMemory
import AerostatHost
import AerostatVirtio

/// What the balloon's queues share: the pages in the balloon, the code that gives pages back to the host, and the counters.
///
/// The device's lock guards it. `ballooned` may be read without the lock.
struct BalloonAccount: Sendable {
    let memory: GuestRAM
    let clock: BalloonClock
    /// The pages that the driver has put into the balloon and not taken out. A reset empties it: a driver that starts again has an empty
    /// balloon, whatever the previous driver said.
    let ballooned: PageSet
    private var knownPages = 0
    /// How many pages were put into the balloon before the guest arrived here. Only their number is known.
    var arrivedPages = 0
    var counters = BalloonCounters()
    /// The error of the kernel's last refusal.
    var lastError: SystemError?
    /// When a page last went into the balloon or came out.
    var lastMovement: MonotonicClock.Instant?
    /// The pages of the active queues' rings.
    var rings = OwnPages()
    var negotiated = VirtioFeatures()
    /// The value that the driver last said its free pages contain. It survives resets: when a guest resumes from suspend, Linux's driver
    /// negotiates again without repeating the value, and the pages are still filled. A new driver says it itself.
    var promisedPoison: UInt32 = 0

    #if BrokenEngines
        /// The runs to give back late, each with the number of chains since.
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

    /// The word that fills the guest's free pages, on which the guest relies; `nil` if none was agreed.
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

    /// The most pages, and the most runs, that are given back in one hold of the lock. This takes about a millisecond.
    static let pagesPerStep = 4096
    static let runsPerStep = 256

    /// Gives back free pages that the guest does not use. If the guest relies on their content they stay as they are, because they would
    /// become zero.
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

    /// Gives runs back to the host, unless the balloon is inhibited. Errors are counted; pages that the kernel refused keep their content.
    /// - Returns: the runs that stay, whole or in part, because they are parts of huge pages.
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
        // Known and arrived pages together cannot exceed the memory. If they would, the driver has inflated pages that it counted already.
        arrivedPages = min(arrivedPages, memory.pageCount - knownPages)
        counters.inflatedPages += new
        counters.repeatedPages += pages - new
        #if BrokenEngines
            if postpones(.acknowledgesBeforeDiscard, runs) { return new }
        #endif
        // Pages that were already in the balloon are given back again. A driver need not wait for the answer to its deflate before it uses
        // a page and inflates it again, and the device may read the inflate first. The page is the host's until the buffer is given back,
        // so nothing can be lost.
        for run in giveBack(runs) { giveBackHugePages(around: run) }
        return new
    }

    /// The run may complete huge pages in the balloon. Those that are complete are given back as a whole.
    ///
    /// Only done if the driver promised to tell before it touches a page again. Without the promise it may already use a part that the
    /// device still counts as ballooned, and its content would be lost.
    private mutating func giveBackHugePages(around run: PageRun) {
        guard negotiated.contains(.mustTellHost) else { return }
        var last: PageRun?
        for page in [run.first, PageIndex(run.end.rawValue - 1)] {
            guard let huge = memory.hugePage(around: page), huge != last else { continue }
            last = huge
            // Huge pages that the run covers entirely have already been given back.
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

    /// Pages come out of the balloon. The guest may use them as soon as the buffer is given back.
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

    /// The driver has reset the device.
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
