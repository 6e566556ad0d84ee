/// What a guest said about its memory. What it did not say is absent.
public struct GuestStatistics: Hashable, Sendable {
    /// One value, by its tag (specification 5.5.6.4, and VIRTIO_BALLOON_S_* of Linux). Counts go on from the guest's boot.
    public enum Value: UInt16, CaseIterable, Sendable {
        /// Bytes that were read from swap.
        case swapIn = 0
        /// Bytes that were written to swap.
        case swapOut = 1
        /// Page faults that needed a disk.
        case majorFaults = 2
        /// Page faults that did not.
        case minorFaults = 3
        /// Bytes that are not used at all.
        case freeMemory = 4
        /// Bytes that the guest has.
        case totalMemory = 5
        /// Bytes that new programs could use without swapping.
        case availableMemory = 6
        /// Bytes of caches that can be given up.
        case diskCaches = 7
        /// Huge pages that were allocated.
        case hugePageAllocations = 8
        /// Huge pages that could not be allocated.
        case hugePageFailures = 9
        /// Processes that were killed because memory was out.
        case outOfMemoryKills = 10
        /// Allocations that had to wait.
        case allocationStalls = 11
        /// Bytes that were looked through for reclaim in the background.
        case backgroundScans = 12
        /// Bytes that were looked through for reclaim by whoever allocated.
        case directScans = 13
        /// Bytes that were reclaimed in the background.
        case backgroundReclaims = 14
        /// Bytes that were reclaimed by whoever allocated.
        case directReclaims = 15

        /// Whether it is in bytes; else it is a count.
        public var isByteCount: Bool {
            switch self {
            case .swapIn, .swapOut, .freeMemory, .totalMemory, .availableMemory, .diskCaches, .backgroundScans, .directScans,
                .backgroundReclaims, .directReclaims:
                true
            case .majorFaults, .minorFaults, .hugePageAllocations, .hugePageFailures, .outOfMemoryKills, .allocationStalls: false
            }
        }
    }

    private var values: [UInt64?] = Array(repeating: nil, count: Value.allCases.count)
    /// When the guest said it, by the host's clock, since 1970; `nil` where it never has.
    public var lastUpdateMilliseconds: UInt64?

    public init() {}

    /// What the guest said; `nil` where it said nothing.
    public subscript(_ value: Value) -> UInt64? {
        get { values[Int(value.rawValue)] }
        set { values[Int(value.rawValue)] = newValue }
    }
}
