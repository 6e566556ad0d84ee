import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatVirtio

// The statistics queue. The device keeps the buffer, and returns it to ask for new values (Linux: `update_balloon_stats`).
extension BalloonDriver {
    /// The tag of a value (include/uapi/linux/virtio_balloon.h). Tags for which this kernel has no value are left out: minor and major
    /// faults, huge pages, and background reclaim.
    private enum Tag: UInt16 {
        case swapIn = 0
        case swapOut = 1
        case free = 4
        case total = 5
        case available = 6
        case caches = 7
        case kills = 10
        case stalls = 11
        case directScan = 13
        case directReclaim = 15
    }

    func advanceStatistics(_ balloon: inout BalloonRecord, _ record: DriverRecord) throws(KernelPanic) -> Next {
        guard VirtioFeatures(rawValue: record.features).contains(.statistics), balloon.statisticsAreOut > 0 else {
            return .sleepUntilInterrupt
        }
        let back = UInt32(try returned(.statistics, record))
        guard back > 0 else { return .sleepUntilInterrupt }
        balloon.statisticsAreOut -= min(back, balloon.statisticsAreOut)
        guard balloon.statisticsAreOut == 0 else { return .again }
        if behaviour == .falseStatistics {
            balloon.statisticsAreOut = UInt32(try sendFalseStatistics(record))
        } else {
            try sendStatistics(record)
            balloon.statisticsAreOut = 1
        }
        return .again
    }

    /// Fills the buffer with the current values, and offers it.
    func sendStatistics(_ record: DriverRecord) throws(KernelPanic) {
        let figures = try kernel.locked { self.figures }
        try sendStatistics(figures.flatMap { Self.entry($0.rawValue, $1) }, record)
    }

    func sendStatistics(_ bytes: [UInt8], _ record: DriverRecord) throws(KernelPanic) {
        try kernel.locked { kernel.driverCounters.statistics &+= 1 }
        for (index, byte) in bytes.enumerated() { kernel.memory.store(byte, at: BalloonQueue.statistics.bufferOffset + index) }
        try offer(.statistics, byteCount: bytes.count, record)
    }

    /// Ten bytes: tag and value, little-endian.
    static func entry(_ tag: UInt16, _ value: UInt64) -> [UInt8] {
        var entry = FieldBytes(reserving: 10)
        entry.append(tag)
        entry.append(value)
        return entry.bytes
    }

    private var figures: [(Tag, UInt64)] {
        let (state, lists, counters) = (kernel.allocator, kernel.balloonLists, kernel.driverCounters)
        let page = UInt64(GuestPage.size)
        let free = kernel.freePages(state)
        let held = state.heldBlocks &* UInt64(KernelLayout.topBlockPages)
        // Pages that the guest may not take back are subtracted from its total (Linux: `adjust_managed_page_count`).
        let inBalloon = lists.pages.pages &+ lists.leaving.pages
        let total = state.allocatedPages &+ free &+ (kernel.balloonSignals.deflatesOnShortage != 0 ? inBalloon : 0)
        let reclaimed = state.shrunkBlocks &* UInt64(KernelLayout.topBlockPages) &* page
        return [
            // The guest has no swap and no file caches.
            (.swapIn, 0), (.swapOut, 0), (.caches, 0),
            (.free, (free &- held) &* page), (.total, total &* page), (.available, free &* page),
            (.kills, counters.kills), (.stalls, counters.stalls),
            // The shrinker scans only the pages that it takes.
            (.directScan, reclaimed), (.directReclaim, reclaimed),
        ]
    }
}
