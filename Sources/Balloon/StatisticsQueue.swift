import AerostatGuestMemory
import AerostatHost
import AerostatVirtio

/// Statistics of the guest's memory (specification 5.5.6.4).
///
/// The driver queues one buffer. The device reads it and holds it. To ask for new values, it gives the buffer back, and the driver fills it
/// and queues it again:
///
///     driver: buffer --> device: reads, holds ... interval is over: gives back --> driver: fills, buffer --> ...
///
/// So if a driver does not answer, the exchange stops until it does, and no thread wakes up for it. A buffer that is held when the device
/// moves counts as not popped (`DeviceQueues.positions`): the destination reads and holds it again.
struct StatisticsQueue: BalloonQueueHandler {
    /// An entry: u16 tag, u64 value, packed.
    private static let entryBytes = 10
    /// The most entries that are read of one buffer. Linux sends up to 16.
    static let maximumEntries = 256

    private(set) var values = GuestStatistics()
    private(set) var intervalSeconds: UInt32 = 0
    /// When to give the held buffer back; `nil` if nobody wants statistics.
    private(set) var nextRequest: MonotonicClock.Instant?
    /// When a buffer was last given back.
    private var lastRequest: MonotonicClock.Instant?
    /// The next buffer is the one that was held at the source. Its content is as old as `values` says.
    private(set) var isNextOld = false

    mutating func serve(_ chain: DescriptorChain, isNew: Bool, _ account: inout BalloonAccount) -> ChainStep {
        account.counters.statisticsBuffers += 1
        var reader = BufferReader(entryBytes: Self.entryBytes)
        reader.begin(chain, maximumEntries: Self.maximumEntries, &account.counters)
        let bytes = FieldBytes(reader.take(Self.maximumEntries, from: account.memory, &account.counters))
        var new = GuestStatistics()
        for place in stride(from: 0, to: bytes.bytes.count, by: Self.entryBytes) {
            if let value = GuestStatistics.Value(rawValue: bytes.get(place)) {
                new[value] = bytes.get(place + 2, as: UInt64.self)
            } else {
                account.counters.unknownTags += 1
            }
        }
        new.lastUpdateMilliseconds = isNextOld ? values.lastUpdateMilliseconds : account.clock.wallMilliseconds()
        isNextOld = false
        values = new
        if nextRequest == nil, intervalSeconds > 0 {
            let now = account.clock.now()
            nextRequest = max((lastRequest ?? now) + .seconds(Int64(intervalSeconds)), now)
        }
        return .held
    }

    // MARK: Asking

    mutating func setInterval(_ seconds: UInt32, _ now: MonotonicClock.Instant) {
        guard seconds != intervalSeconds else { return }
        let isEnabled = intervalSeconds == 0
        intervalSeconds = seconds
        nextRequest = seconds == 0 ? nil : isEnabled ? now : now + .seconds(Int64(seconds))
    }

    mutating func requestOnce(_ now: MonotonicClock.Instant) { nextRequest = now }

    /// The buffer is being given back now.
    mutating func noteRequest(_ now: MonotonicClock.Instant) {
        lastRequest = now
        nextRequest = nil
    }

    // MARK: The device

    mutating func stop() {
        nextRequest = nil
        lastRequest = nil
        isNextOld = false
    }

    /// The last values stay, as in QEMU, and polling continues with the next driver.
    mutating func reset() { stop() }

    /// The guest has arrived from elsewhere.
    /// - Parameter isHeld: whether the source held a buffer. It is the next one here.
    mutating func restore(intervalSeconds: UInt32?, lastUpdateMilliseconds: UInt64?, isHeld: Bool) {
        if let intervalSeconds { self.intervalSeconds = intervalSeconds }
        values = GuestStatistics()
        values.lastUpdateMilliseconds = lastUpdateMilliseconds
        isNextOld = isHeld
    }
}
