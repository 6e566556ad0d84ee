/// The state and the figures of a migration, as `query-migrate`, `migrate --json` and `--record` show them.
///
/// Field names are QMP's if QMP has a name for the value. Times are in milliseconds unless the name says otherwise; sizes are in bytes.
public struct MigrationReport: Hashable, Sendable, Codable {
    /// QMP's `MigrationStatus`.
    public enum Status: String, Hashable, Sendable, Codable {
        case none, setup, active, device, completed, failed, cancelling, cancelled
        /// The link was lost between commit and running: whether the destination runs the guest is not known here.
        case unknown = "outcome-unknown"
        /// The timeout struck under `--on-timeout pause`: the guest is paused so that the migration can converge.
        case pausedByTimeout = "active-paused"

        /// Whether nothing more happens.
        public var isOver: Bool {
            switch self {
            case .none, .completed, .failed, .cancelled, .unknown: true
            case .setup, .active, .device, .cancelling, .pausedByTimeout: false
            }
        }
    }

    public var status: Status = .none
    /// The destination, as the person wrote it.
    public var destination: String?
    /// Why the migration failed, as text; absent unless it failed.
    public var errorDescription: String?
    /// What the migration is waiting for, as text to follow "waiting for": a disk that does not answer, for example.
    public var waitingFor: String?
    public var totalTime = 0
    public var setupTime = 0
    /// How long no process ran the guest, rounded up (QMP has whole milliseconds); absent before it is known.
    public var downtime: Int?
    public var expectedDowntime: Int?
    /// The downtime limit; `isDowntimeLimitExceeded` says whether it was exceeded.
    public var downtimeLimit: Int?
    /// The same downtime in microseconds.
    public var downtimeMicroseconds: Int?
    public var ram = RAM()
    public var freePageHints = FreePageHints()
    public var balloon = Balloon()
    /// Pages that the guest never populated: never read, never sent.
    public var absentPages = 0
    public var guest: MemoryUse?
    /// At most `maximumRounds` entries. If a migration has more rounds, one entry in the middle holds the sums of many.
    public package(set) var rounds: [Round] = []
    public var verify: Verify?
    /// Which tracker was used.
    public var tracker: String?
    /// The longest time for which the ledger's lock was held, in microseconds. Measured only in a build with the trait `Instruments`.
    public var longestLockHoldMicroseconds: Double?
    /// The longest hold in the holder's processor time: it leaves out the time for which another thread had the core.
    public var longestLockHoldProcessorMicroseconds: Double?

    public init() {}

    /// The limit exists because a report is sent as one message, and a migration that does not converge may go on for days.
    public static let maximumRounds = 1000

    /// Whether the guest was paused for longer than the downtime limit.
    public var isDowntimeLimitExceeded: Bool {
        guard let downtimeLimit else { return false }
        if let downtimeMicroseconds { return downtimeMicroseconds > downtimeLimit * 1000 }
        return downtime.map { $0 > downtimeLimit } ?? false
    }

    /// How many rounds there were.
    public var roundCount: Int { rounds.last.map { $0.through ?? $0.number } ?? 0 }

    /// The round under way, or the last one.
    package var currentRound: Round {
        get { rounds[rounds.count - 1] }
        set { rounds[rounds.count - 1] = newValue }
    }

    package mutating func append(_ round: Round) {
        if rounds.count == Self.maximumRounds {
            let middle = Self.maximumRounds / 2
            rounds[middle].absorb(rounds.remove(at: middle + 1))
        }
        rounds.append(round)
    }

    enum CodingKeys: String, CodingKey {
        case status, destination
        case errorDescription = "error-desc"
        case waitingFor = "waiting-for"
        case totalTime = "total-time"
        case setupTime = "setup-time"
        case downtime
        case expectedDowntime = "expected-downtime"
        case downtimeLimit = "downtime-limit"
        case downtimeMicroseconds = "downtime-us"
        case ram
        case freePageHints = "free-page-hints"
        case balloon
        case absentPages = "absent-pages"
        case guest, rounds, verify, tracker
        case longestLockHoldMicroseconds = "longest-lock-hold-us"
        case longestLockHoldProcessorMicroseconds = "longest-lock-hold-cpu-us"
    }

    /// The traffic, in bytes and pages.
    public struct RAM: Hashable, Sendable, Codable {
        /// Every byte put on the link, headers included.
        public var transferred = 0
        /// Bytes of pages that are still pending.
        public var remaining = 0
        public var total = 0
        /// Zero pages that travelled as runs.
        public var duplicate = 0
        /// Pages whose bytes travelled (each time counted).
        public var normal = 0
        public var normalBytes = 0
        /// Pages a second written by the guest in the last round.
        public var dirtyPagesRate = 0
        /// Harvests made.
        public var dirtySyncCount = 0
        public var pageSize = 4096
        /// Megabits a second in the last round.
        public var mbps: Double = 0
        public var pagesPerSecond = 0
        /// Bytes sent while the guest ran, and while it was paused.
        public var precopyBytes = 0
        public var downtimeBytes = 0

        public init() {}

        enum CodingKeys: String, CodingKey {
            case transferred, remaining, total, duplicate, normal
            case normalBytes = "normal-bytes"
            case dirtyPagesRate = "dirty-pages-rate"
            case dirtySyncCount = "dirty-sync-count"
            case pageSize = "page-size"
            case mbps
            case pagesPerSecond = "pages-per-second"
            case precopyBytes = "precopy-bytes"
            case downtimeBytes = "downtime-bytes"
        }
    }

    /// What free-page hints brought.
    public struct FreePageHints: Hashable, Sendable, Codable {
        public var commands = 0
        /// Whole pages in RAM that valid hints covered.
        public var reportedPages = 0
        /// Pending pages that hints removed and that never travelled.
        public var skippedPages = 0
        public var avoidedBytes = 0
        /// Free pages that the guest wrote again, and that were sent: pages that it had hinted, and pages that it cleared before the
        /// tracker was armed.
        public var redirtiedPages = 0
        /// Of these, how many were sent as zeros, which takes no bytes. A kernel that clears what it allocates, like Debian's, writes to
        /// each block before its driver hints it.
        public var zeroedPages = 0
        public var staleBlocks = 0
        public var invalidBlocks = 0
        /// Bytes of hinted blocks that lie outside RAM or cover only part of a page.
        public var droppedBytes = 0
        /// How long the first round was held back for hints, and for a guest that clears its free memory.
        public var headStart: Double = 0

        public init() {}

        enum CodingKeys: String, CodingKey {
            case commands
            case reportedPages = "reported-pages"
            case skippedPages = "skipped-pages"
            case avoidedBytes = "avoided-bytes"
            case redirtiedPages = "redirtied-pages"
            case zeroedPages = "zeroed-pages"
            case staleBlocks = "stale-blocks"
            case invalidBlocks = "invalid-blocks"
            case droppedBytes = "dropped-bytes"
            case headStart = "head-start-ms"
        }
    }

    /// What the balloon did, in pages.
    public struct Balloon: Hashable, Sendable, Codable {
        /// In the balloon, when last looked at: not read and not sent, unless the balloon was inhibited.
        public var balloonedPages = 0
        /// Reported as free during the migration.
        public var reportedPages = 0
        /// Given back to the host during the migration, each time counted.
        public var discardedPages = 0
        /// Of these, the ones that were pending, and need not travel.
        public var unsentPages = 0
        /// Of these, the ones that were to travel as zeros, because the destination might have had something else.
        public var zeroedPages = 0

        public init() {}

        enum CodingKeys: String, CodingKey {
            case balloonedPages = "ballooned-pages"
            case reportedPages = "reported-pages"
            case discardedPages = "discarded-pages"
            case unsentPages = "unsent-pages"
            case zeroedPages = "zeroed-pages"
        }
    }

    /// One round of precopy; the last is the one in which the guest was paused.
    public struct Round: Hashable, Sendable, Codable {
        /// 1 is the first.
        public var number: Int
        /// The number of the last round if this entry is the sum of several; `start` and `pendingPages` are then the first round's.
        public private(set) var through: Int?
        /// Since the migration began.
        public var start: Double
        public var duration: Double = 0
        public var paused = false
        /// Pages pending when the round began.
        public var pendingPages = 0
        public var normalPages = 0
        public var zeroPages = 0
        /// Free pages announced to the destination.
        public var freePages = 0
        /// Pending pages that hints removed in this round.
        public var clearedPages = 0
        public var bytes = 0
        /// Pages found written at the round's end.
        public var dirtiedPages = 0
        public var harvest: Double = 0

        public init(number: Int, start: Double) {
            self.number = number
            self.start = start
        }

        fileprivate mutating func absorb(_ next: Round) {
            through = next.through ?? next.number
            duration += next.duration
            normalPages += next.normalPages
            zeroPages += next.zeroPages
            freePages += next.freePages
            clearedPages += next.clearedPages
            bytes += next.bytes
            dirtiedPages += next.dirtiedPages
            harvest += next.harvest
        }

        enum CodingKeys: String, CodingKey {
            case number = "round"
            case through = "through-round"
            case start = "start-ms"
            case duration = "duration-ms"
            case paused
            case pendingPages = "pending-pages"
            case normalPages = "normal-pages"
            case zeroPages = "zero-pages"
            case freePages = "free-pages"
            case clearedPages = "skipped-pages"
            case bytes
            case dirtiedPages = "dirtied-pages"
            case harvest = "harvest-ms"
        }
    }

    /// What the comparison of both memories found.
    public struct Verify: Hashable, Sendable, Codable {
        /// Whether both memories were equal.
        public enum Status: String, Hashable, Sendable, Codable { case passed, failed }

        public var status: Status
        public var pagesCompared: Int
        /// Pages left out because they are free.
        public var pagesFree: Int
        public var differences: Int
        /// The first page that differs.
        public var firstDifference: Int?

        public init(status: Status, pagesCompared: Int, pagesFree: Int, differences: Int, firstDifference: Int? = nil) {
            self.status = status
            self.pagesCompared = pagesCompared
            self.pagesFree = pagesFree
            self.differences = differences
            self.firstDifference = firstDifference
        }

        enum CodingKeys: String, CodingKey {
            case status
            case pagesCompared = "pages-compared"
            case pagesFree = "pages-free"
            case differences
            case firstDifference = "first-difference"
        }
    }
}

extension Duration {
    /// As a floating-point number, for the report.
    public var inMilliseconds: Double {
        Double(components.seconds) * 1000 + Double(components.attoseconds) * 1e-15
    }
}
