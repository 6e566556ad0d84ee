/// The answer to `query-balloon`: how the guest's balloon stands. Sizes in bytes.
public struct BalloonInfo: Hashable, Sendable, Codable {
    /// What the guest has: its RAM without what its driver says is in the balloon. QEMU's only member; the others are ours.
    public var actual: Int
    /// What the guest was asked to keep.
    public var target: Int
    /// All of its RAM.
    public var maximum: Int
    /// What the guest says is in the balloon.
    public var ballooned: Int
    /// What the host got back since the device was made here, by the balloon and by reports.
    public var givenBack: Int
    /// What was filled with zeros and stays with the guest: parts of huge pages, and files that cannot have holes.
    public var cleared: Int
    /// Whether the guest's driver is ready.
    public var isDriverReady: Bool
    /// Why inflated pages are not given back to the host, in words; absent if they are.
    public var inhibited: String?
    /// Why `actual` is not `target` yet, in words; absent if it is.
    public var waitsFor: String?
    /// What the device has counted, by name; what never happened is absent.
    public var counters: [String: Int]

    public init(
        actual: Int,
        target: Int,
        maximum: Int,
        ballooned: Int,
        givenBack: Int,
        cleared: Int,
        isDriverReady: Bool,
        inhibited: String?,
        waitsFor: String?,
        counters: [String: Int]
    ) {
        self.actual = actual
        self.target = target
        self.maximum = maximum
        self.ballooned = ballooned
        self.givenBack = givenBack
        self.cleared = cleared
        self.isDriverReady = isDriverReady
        self.inhibited = inhibited
        self.waitsFor = waitsFor
        self.counters = counters
    }

    enum CodingKeys: String, CodingKey {
        case actual, target, maximum, ballooned, cleared, inhibited, counters
        case givenBack = "given-back"

        case isDriverReady = "driver-ready"
        case waitsFor = "waits-for"
    }
}

/// What a guest tells of its memory (`qom-get`, property `guest-stats`). A value that the guest did not give is absent.
public struct GuestStatisticsReply: Hashable, Sendable {
    /// A kind of figure, with QEMU's name.
    public enum Figure: String, CaseIterable, Hashable, Sendable {
        // In the order of the tags (linux/virtio_balloon.h).
        case swapIn = "stat-swap-in"
        case swapOut = "stat-swap-out"
        case majorFaults = "stat-major-faults"
        case minorFaults = "stat-minor-faults"
        case freeMemory = "stat-free-memory"
        case totalMemory = "stat-total-memory"
        case availableMemory = "stat-available-memory"
        case diskCaches = "stat-disk-caches"
        case hugePageAllocations = "stat-htlb-pgalloc"
        case hugePageFailures = "stat-htlb-pgfail"
        case outOfMemoryKills = "stat-oom-kills"
        case allocationStalls = "stat-alloc-stalls"
        case asynchronousScans = "stat-async-scans"
        case directScans = "stat-direct-scans"
        case asynchronousReclaims = "stat-async-reclaims"
        case directReclaims = "stat-direct-reclaims"
    }

    public var figures: [Figure: UInt64]
    /// Seconds since 1970; 0 if the guest never answered.
    public var lastUpdate: Int

    public init(figures: [Figure: UInt64], lastUpdate: Int) {
        self.figures = figures
        self.lastUpdate = lastUpdate
    }

    /// QEMU's word for a figure that the guest did not give: -1, as 64 bits without a sign.
    private static let absent = "18446744073709551615"

    /// As QEMU answers: all names, with -1 for what the guest did not give.
    public var json: JSONValue {
        var stats: [String: JSONValue] = [:]
        for figure in Figure.allCases {
            let value = figures[figure]
            stats[figure.rawValue] = value.map { Int(exactly: $0).map(JSONValue.integer) ?? .numeral(String($0)) } ?? .numeral(Self.absent)
        }
        return ["stats": .object(stats), "last-update": .integer(lastUpdate)]
    }

    /// Reads QEMU's answer, or ours; `nil` if it is neither.
    public init?(json: JSONValue) {
        guard let stats = json["stats"], let lastUpdate = json["last-update"]?.integer else { return nil }
        figures = [:]
        for figure in Figure.allCases {
            switch stats[figure.rawValue] {
            case .integer(let value) where value >= 0: figures[figure] = UInt64(value)
            case .numeral(let text) where text != Self.absent: figures[figure] = UInt64(text)
            default: break
            }
        }
        self.lastUpdate = lastUpdate
    }
}

extension BalloonInfo {
    /// The answer to `query-balloon`.
    public var json: JSONValue {
        get throws(QMPError) {
            do {
                return try JSONValue(encoding: self)
            } catch {
                throw QMPError("the state of the balloon cannot be written as JSON: \(error)")
            }
        }
    }
}
