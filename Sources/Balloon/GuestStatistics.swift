/// What a guest said about its memory. A value that it did not give is absent.
public struct GuestStatistics: Hashable, Sendable {
    /// One value, with its tag (specification 5.5.6.4, and VIRTIO_BALLOON_S_* of Linux). Counts start at the guest's boot.
    public enum Value: UInt16, CaseIterable, Sendable {
        /// Bytes that were read from swap.
        case swapIn = 0
        /// Bytes that were written to swap.
        case swapOut = 1
        /// Page faults that needed a disk.
        case majorFaults = 2
        /// Page faults that needed no disk.
        case minorFaults = 3
        /// Bytes that are free.
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
        /// Processes that were killed because memory ran out.
        case outOfMemoryKills = 10
        /// Allocations that had to wait.
        case allocationStalls = 11
        /// Bytes that background reclaim scanned.
        case backgroundScans = 12
        /// Bytes that allocating threads scanned for reclaim.
        case directScans = 13
        /// Bytes that background reclaim freed.
        case backgroundReclaims = 14
        /// Bytes that allocating threads reclaimed.
        case directReclaims = 15
    }

    private var values: [UInt64?] = Array(repeating: nil, count: Value.allCases.count)
    /// When the guest sent the values, in milliseconds since 1970 by the host's clock; `nil` if it never has.
    public var lastUpdateMilliseconds: UInt64?

    public init() {}

    /// A value; `nil` if the guest did not give it.
    public subscript(_ value: Value) -> UInt64? {
        get { values[Int(value.rawValue)] }
        set { values[Int(value.rawValue)] = newValue }
    }
}
