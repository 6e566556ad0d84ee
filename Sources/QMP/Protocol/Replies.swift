public import AerostatMigration

/// Whether the guest runs, in QEMU's terms.
public enum RunState: String, CaseIterable, Hashable, Sendable {
    case running
    /// Stopped by a person.
    case paused
    /// Waits for an incoming migration.
    case inMigrate = "inmigrate"
    /// Its memory is being read from an image.
    case restoreVM = "restore-vm"
    /// Stopped, because the guest has moved to another process.
    case postMigrate = "postmigrate"
    /// Started with `--paused`, and has not run yet.
    case preLaunch = "prelaunch"
    /// Stopped for a migration's switch-over.
    case finishMigrate = "finish-migrate"
    /// Has powered off or reset itself, and is kept for inspection.
    case shutdown
    /// Has crashed, and is kept for inspection.
    case guestPanicked = "guest-panicked"

    /// The answer to `query-status`.
    public var json: JSONValue { ["status": .string(rawValue), "running": .bool(self == .running)] }

    public init?(json: JSONValue) {
        guard let state = (json["status"]?.string).flatMap(RunState.init) else { return nil }
        self = state
    }
}

/// The answer to `check-guest`: what the guest found in its own memory.
public struct SelfCheck: Hashable, Sendable, Codable {
    /// A page with wrong content.
    public struct WrongPage: Hashable, Sendable, Codable {
        public var page: Int
        public var expected: String
        public var found: String

        public init(page: Int, expected: String, found: String) {
            self.page = page
            self.expected = expected
            self.found = found
        }
    }

    public var pagesChecked: Int
    public var pagesWrong: Int
    public var firstWrong: WrongPage?
    public var pagesUsed: Int
    public var pagesFree: Int
    public var pagesFreeTopOrder: Int
    /// The part of `pagesFree` that the balloon driver holds for hints. 0 once a migration is over.
    public var pagesHeld: Int
    /// In the balloon: neither used nor free, and not looked at. Absent where the guest cannot tell, as in processes before 0.3.0.
    public var pagesBallooned: Int?
    /// The allocator's broken invariants, in words. Empty if all hold.
    public var brokenInvariants: [String]

    /// Whether nothing wrong was found.
    public var isClean: Bool { pagesWrong == 0 && brokenInvariants.isEmpty }

    public init(
        pagesChecked: Int,
        pagesWrong: Int,
        firstWrong: WrongPage?,
        pagesUsed: Int,
        pagesFree: Int,
        pagesFreeTopOrder: Int,
        pagesHeld: Int,
        pagesBallooned: Int? = nil,
        brokenInvariants: [String]
    ) {
        self.pagesChecked = pagesChecked
        self.pagesWrong = pagesWrong
        self.firstWrong = firstWrong
        self.pagesUsed = pagesUsed
        self.pagesFree = pagesFree
        self.pagesFreeTopOrder = pagesFreeTopOrder
        self.pagesHeld = pagesHeld
        self.pagesBallooned = pagesBallooned
        self.brokenInvariants = brokenInvariants
    }

    enum CodingKeys: String, CodingKey {
        case pagesChecked = "pages-checked"
        case pagesWrong = "pages-wrong"
        case firstWrong = "first-wrong"
        case pagesUsed = "pages-used"
        case pagesFree = "pages-free"
        case pagesFreeTopOrder = "pages-free-top-order"
        case pagesHeld = "pages-held"
        case pagesBallooned = "pages-ballooned"
        case brokenInvariants = "broken-invariants"
    }
}

extension MigrationReport {
    /// The answer to `query-migrate`. Empty before the first migration, as in QEMU.
    public var json: JSONValue {
        get throws(QMPError) {
            if status == .none { return [:] }
            return try JSONValue(answer: self, "the report")
        }
    }

    /// Reads the answer to `query-migrate`.
    public init(json: JSONValue) throws {
        self = json["status"] == nil ? MigrationReport() : try json.decode(MigrationReport.self)
    }
}

extension SelfCheck {
    /// The answer to `check-guest`.
    public var json: JSONValue {
        get throws(QMPError) { try JSONValue(answer: self, "the check's result") }
    }
}

extension JSONValue {
    /// Encodes the answer to a command.
    /// - Parameter name: what it is, for the error.
    init(answer: some Encodable, _ name: String) throws(QMPError) {
        do { self = try JSONValue(encoding: answer) } catch { throw QMPError("\(name) cannot be written as JSON: \(error)") }
    }
}
