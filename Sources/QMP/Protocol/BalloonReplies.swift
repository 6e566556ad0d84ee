/// The answer to `query-balloon`: the state of the guest's balloon. Sizes are in bytes.
public struct BalloonInfo: Hashable, Sendable, Codable {
    /// The guest's RAM without the pages that its driver says are in the balloon. QEMU's only member; the others are ours.
    public var actual: Int
    /// How much the guest was asked to keep.
    public var target: Int
    /// All of its RAM.
    public var maximum: Int
    /// How much the guest's driver says is in the balloon.
    public var ballooned: Int
    /// How much the host has got back from the balloon and from reports since the device was made in this process.
    public var givenBack: Int
    /// How much was filled with zeros and not given back: parts of huge pages, and files that cannot have holes.
    public var cleared: Int
    /// Whether the guest's driver is ready.
    public var isDriverReady: Bool
    /// Why inflated pages are not given back to the host, in words; absent if they are.
    public var inhibited: String?
    /// Why `actual` is not `target` yet, in words; absent if it is.
    public var waitsFor: String?
    /// What the device has counted, by name. Counters that are 0 are absent.
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

/// A guest's memory statistics (`qom-get`, property `guest-stats`). A value that the guest did not give is absent.
public struct GuestStatisticsReply: Hashable, Sendable {
    /// A kind of value, with QEMU's name.
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

    /// QEMU's value for a figure that the guest did not give: -1 as an unsigned 64-bit number.
    private static let absent = "18446744073709551615"

    /// The reply in QEMU's form: all names, with -1 for values that the guest did not give.
    public var json: JSONValue {
        var stats: [String: JSONValue] = [:]
        for figure in Figure.allCases {
            let value = figures[figure]
            stats[figure.rawValue] = value.map { Int(exactly: $0).map(JSONValue.integer) ?? .numeral(String($0)) } ?? .numeral(Self.absent)
        }
        return ["stats": .object(stats), "last-update": .integer(lastUpdate)]
    }

    /// Reads a reply of QEMU or ours; `nil` if it is neither.
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
        get throws(QMPError) { try JSONValue(answer: self, "the state of the balloon") }
    }
}
