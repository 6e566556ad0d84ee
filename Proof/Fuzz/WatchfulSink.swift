import AerostatGuestMemory
import AerostatMigration

/// Hears the hints, and traps where they come in an order that the engine must not see.
final class WatchfulSink: HintSink {
    private let regions: RegionTable
    // The fuzzer has one thread.
    nonisolated(unsafe) private(set) var openID: CommandID?
    nonisolated(unsafe) private var hasStarted = false
    nonisolated(unsafe) private var hints = 0

    init(_ regions: RegionTable) { self.regions = regions }

    func hintsOpened(_ id: CommandID) {
        unsafe demand(openID == nil, "one command is open at a time")
        unsafe (openID, hasStarted) = (id, false)
    }

    func hintsStarted(_ id: CommandID) {
        unsafe demand(openID == id && !hasStarted, "the open command starts once")
        unsafe hasStarted = true
    }

    func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome {
        unsafe demand(openID == id && hasStarted, "hints count between start and stop only")
        demand(byteCount > 0, "a block has bytes")
        unsafe hints += 1
        let pages = regions.wholePages(at: address, byteCount: byteCount).runs.reduce(0) { $0 + $1.count }
        return pages == 0 ? .invalid : .taken(pages: pages, skipped: unsafe hints % 2)
    }

    func hintsStopped(_ id: CommandID) {
        unsafe demand(openID == id, "the open command stops")
        unsafe openID = nil
    }
}
