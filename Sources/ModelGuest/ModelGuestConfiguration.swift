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

/// How the guest's balloon driver answers. Every case except `correct`, `slow` and `reloading` is a hostile guest, for demonstrations and
/// tests of the device. The case's number is in guest RAM, so add new ones at the end.
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

    public init() {}

    /// Checks that all values are in their ranges.
    public func validate() throws(ModelGuestConfiguration.Invalid) {
        if clearsAllocated, poison != nil {
            throw .init(description: "memory is cleared when it is allocated, or filled when it is freed: not both")
        }
        let maximum = ModelGuestConfiguration.maximumVCPUs
        guard (1...maximum).contains(vcpus) else { throw .init(description: "vcpus must be from 1 to \(maximum), not \(vcpus)") }
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
