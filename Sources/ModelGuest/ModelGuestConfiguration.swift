public import AerostatGuestMemory
import AerostatHost

/// What the model guest's vCPUs do once it runs. Rates are for the whole guest.
public enum Workload: Hashable, Sendable {
    /// A timer tick now and then.
    case idle
    /// Rewrites whole pages of a working set, again and again.
    /// - Parameters:
    ///   - writeRate: bytes a second.
    ///   - workingSet: bytes; at most what the guest has in use.
    case steady(writeRate: Int, workingSet: Int = Workload.defaultWorkingSet)
    /// Allocates blocks of random size, stamps them and frees them, which puts pressure on the memory that the balloon driver holds.
    /// - Parameter rate: how many bytes a second are stamped.
    case churn(rate: Int)
    /// Takes more and more memory in the largest blocks, and frees it again. Under this pressure memory that the balloon driver holds is
    /// needed at once.
    /// - Parameter rate: how many bytes a second are stamped.
    case squeeze(rate: Int)
    /// Rewrites everything in use as fast as each vCPU can.
    case hog

    /// 256 MiB.
    public static let defaultWorkingSet = 256 << 20
}

/// How the guest's balloon driver answers. Every case except `correct`, `slow`, `reloading` and `muteBalloon` is a hostile guest, for
/// demonstrations and tests of the device. The case's number is in guest RAM, so add new ones at the end.
public enum DriverBehaviour: String, CaseIterable, Hashable, Sendable {
    /// Like Linux's driver.
    case correct
    /// Negotiates, then never answers a hint command.
    case silent
    /// Answers each command with another id.
    case wrongID = "wrong-id"
    /// Reports blocks beyond the end of RAM, and some that reach over it.
    case outsideRAM = "outside-ram"
    /// Reports blocks that neither begin nor end on a page.
    case unaligned
    /// Offers a descriptor chain that leads back into itself.
    case descriptorLoop = "descriptor-loop"
    /// Advances the available index by more than the ring's length, and names descriptors that do not exist.
    case badIndices = "bad-indices"
    /// Answers, then advances the available index by more than the ring's length, past buffers that name memory in use.
    case indexJump = "index-jump"
    /// Answers the first command. Answers each later one with the id of the one before, and with blocks that are in use by now.
    case staleID = "stale-id"
    /// Like Linux's driver when it is unloaded in the middle of most rounds, with blocks on their way, and loaded again at once.
    case reloading
    /// Like Linux's driver on a busy machine: the device gets blocks milliseconds after they were offered, when some are in use again.
    case slow
    // From here on each is as Linux's driver for hints. When the host wants another size, they lie first, and then they do it.
    /// Inflates pages behind the end of RAM, in its holes, and at the end of all addresses.
    case inflateOutsideRAM = "inflate-outside-ram"
    /// Inflates a page again and again: in one buffer, in ten thousand numbers, and in another buffer.
    case inflateTwice = "inflate-twice"
    /// Inflates the page that holds the ring on which it says so.
    case inflateOwnRing = "inflate-own-ring"
    /// Sends buffers that are no whole number of page numbers, and numbers in pieces.
    case oddLengths = "odd-lengths"
    /// Deflates pages that were never inflated: in use, behind the end of RAM, of the kernel's tables.
    case deflateStrangers = "deflate-strangers"
    /// Offers a chain on the inflate queue that leads back into itself. It leaves the device alone from then on.
    case inflateLoop = "inflate-loop"
    /// Kicks queues without buffers, and queues that do not exist.
    case emptyKicks = "empty-kicks"
    /// Reports blocks outside RAM, less than a page, and memory in use whose content it does not need.
    case falseReports = "false-reports"
    /// Sends statistics with unknown tags, thousands of entries, none, and two buffers.
    case falseStatistics = "false-statistics"
    /// Neither follows the size that the host wants nor gives statistics.
    case muteBalloon = "mute-balloon"
}

/// How a model guest behaves, whatever its memory holds.
public struct GuestBehaviour: Hashable, Sendable {
    /// 1 to 64; each is a thread.
    public var vcpus = 1
    /// The seed of all random choices in the guest.
    public var seed: UInt64 = 1
    public var workload = Workload.idle
    public var driver = DriverBehaviour.correct
    /// The word with which the guest fills memory that it frees, like Linux with `init_on_free` (0) or `page_poison`. The guest tells the
    /// balloon device. `nil`: freed memory keeps its content.
    public var poison: UInt32?
    /// Whether the guest clears what it allocates, like Linux with `init_on_alloc`, including each block that the balloon driver holds.
    /// Excludes `poison`.
    public var clearsAllocated = false
    /// How long after memory became free its blocks of 2 MiB and more are reported to the host (Linux: 2 s); `nil` reports nothing.
    public var reportingDelay: Duration?
    /// How often a page of the balloon is moved, as Linux's compaction does; `nil` moves none.
    public var compactionInterval: Duration?
    /// How often the balloon driver is unloaded and loaded again, put to sleep and woken, or started anew by a guest that reboots: one of
    /// them, in the middle of anything. `nil` leaves it alone.
    public var disturbanceInterval: Duration?
    /// Whether the balloon takes pages that lie side by side, where Linux takes what it gets.
    public var inflatesInRuns = false

    /// Linux's delay.
    public static let usualReportingDelay = Duration.seconds(2)

    public init() {}

    /// Checks that all values are in their ranges.
    public func validate() throws(ModelGuestConfiguration.Invalid) {
        if clearsAllocated, poison != nil {
            throw .init(description: "memory is cleared when it is allocated, or filled when it is freed: not both")
        }
        let maximum = ModelGuestConfiguration.maximumVCPUs
        guard (1...maximum).contains(vcpus) else { throw .init(description: "vcpus must be from 1 to \(maximum), not \(vcpus)") }
        let times = [
            ("reporting delay", reportingDelay, Duration.zero), ("compaction", compactionInterval, .microseconds(10)),
            ("disturbance", disturbanceInterval, .milliseconds(1)),
        ]
        for case (let name, let time?, let least) in times where !(least...Duration.seconds(3600)).contains(time) {
            throw .init(description: "the \(name) must be from \(least) to an hour, not \(time)")
        }
        try workload.validate()
    }
}

/// A request for a model guest with generated memory. `validate()` says in words what is wrong with it.
@dynamicMemberLookup
public struct ModelGuestConfiguration: Hashable, Sendable {
    public var memory: RegionTable
    /// Its members are also members of the configuration: `configuration.vcpus`.
    public var behaviour = GuestBehaviour()
    /// The share of RAM that is allocated and filled at boot.
    public var usedShare = 0.10
    /// The share of RAM that is filled at boot and then freed.
    public var freedShare = 0.50
    /// The share of the freed memory that stays in blocks too small to be hinted.
    public var fragmentationShare = 0.0
    /// Of each block that is left in pieces, the half stays allocated and the other half is one free block, which is reported but not
    /// hinted. Otherwise one page stays allocated, and the free blocks have all sizes.
    public var leavesHalves = false

    public init(memory: RegionTable) { self.memory = memory }

    public subscript<Value>(dynamicMember member: WritableKeyPath<GuestBehaviour, Value>) -> Value {
        get { behaviour[keyPath: member] }
        set { behaviour[keyPath: member] = newValue }
    }

    /// A smaller guest cannot hold its tables and a few blocks of the top order.
    public static let minimumMemoryBytes: UInt64 = 16 << 20
    /// The first region must hold the virtqueue and everything that a damaged index in it can reach (65536 descriptors of 16 bytes).
    public static let minimumFirstRegionBytes: UInt64 = 2 << 20
    /// The most vCPUs, each a thread.
    public static let maximumVCPUs = 64
    /// 1 TiB/s: more than any machine writes.
    public static let maximumRate = 1 << 40

    /// What is wrong with a configuration, in words.
    public struct Invalid: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// Checks whether such a guest can be made.
    public func validate() throws(Invalid) {
        guard memory.byteCount >= Self.minimumMemoryBytes else {
            throw Invalid(description: "the model guest needs at least 16 MiB of memory, not \(exactSize(memory.byteCount))")
        }
        guard memory.regions[0].byteCount >= Self.minimumFirstRegionBytes else {
            throw Invalid(description: "the model guest's first memory region must have at least 2 MiB")
        }
        try behaviour.validate()
        for (name, share) in [("used", usedShare), ("freed", freedShare), ("fragmentation", fragmentationShare)] {
            guard (0...1).contains(share) else { throw Invalid(description: "\(name) must be from 0 % to 100 %") }
        }
        guard usedShare + freedShare <= 1 else {
            throw Invalid(description: "used and freed memory together are more than 100 % of the guest's RAM")
        }
    }
}

extension Workload {
    /// Checks that all values are in their ranges.
    public func validate() throws(ModelGuestConfiguration.Invalid) {
        switch self {
        case .idle, .hog: break
        case .steady(let rate, let workingSet):
            try Self.validate(rate: rate, "write-rate")
            guard workingSet >= GuestPage.size else { throw .init(description: "the working set must be at least one page of 4096 bytes") }
        case .churn(let rate), .squeeze(let rate): try Self.validate(rate: rate, "the rate of churn and squeeze")
        }
    }

    private static func validate(rate: Int, _ name: String) throws(ModelGuestConfiguration.Invalid) {
        guard (GuestPage.size...ModelGuestConfiguration.maximumRate).contains(rate) else {
            throw .init(description: "\(name) must be from 4096 bytes/s to 1 TiB/s")
        }
    }
}
