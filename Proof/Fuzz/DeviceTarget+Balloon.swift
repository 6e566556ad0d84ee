import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatVirtio

// What a hostile driver says on the balloon's own queues, and what people ask of the balloon meanwhile.
extension HostileMachine {
    /// Names pages for the balloon, or out of it: in RAM mostly, and as many as the input says.
    mutating func name(_ input: inout FuzzInput) {
        let (kind, count) = (input.take(UInt8.self), Int(input.take(UInt8.self)))
        var bytes: [UInt8] = []
        for _ in 0..<count {
            let place = UInt32(input.take(UInt8.self))
            let frame = place < 0x80 ? place : place < 0xF0 ? UInt32(Self.highBase >> 12) + place & 0xF : input.take(UInt32.self)
            bytes += littleEndian(frame)
        }
        bytes += input.take(atMost: Int(kind >> 6))
        store(bytes, Self.commandAddress)
        // More is said to be there than was written, at times.
        let byteCount = kind & 0x20 == 0 ? UInt32(bytes.count) : UInt32(input.take(UInt16.self))
        send(Self.commandAddress, byteCount: byteCount, isWritable: false, Int(kind & 1))
    }

    /// Reports a block as free.
    mutating func report(_ input: inout FuzzInput) {
        var (address, byteCount) = block(&input)
        let kind: UInt8 = input.take()
        if kind > 0xF0 { (address, byteCount) = (address &+ UInt64(kind), byteCount &- UInt32(input.take(UInt16.self))) }
        send(address, byteCount: byteCount, isWritable: kind != 0xEF, numbers.reports)
    }

    mutating func tellStatistics(_ input: inout FuzzInput) {
        let bytes = input.take(atMost: Int(input.take(UInt8.self)) * 4)
        store(bytes, Self.commandAddress)
        send(Self.commandAddress, byteCount: UInt32(bytes.count), isWritable: false, numbers.statistics)
    }

    /// People at the host.
    mutating func balloon(_ input: inout FuzzInput) {
        let (what, value) = (input.take(UInt8.self), input.take(UInt8.self))
        switch what % 8 {
        case 0:
            device.setTarget(pages: Int(value))
            demand(Int(device.status.targetPages) <= device.ballooned.pageCount, "no target above RAM")
        case 1: device.setTarget(guestKeeps: UInt64(value) << 11)
        case 2: if inhibitions.count < 4 { inhibitions.append(device.inhibit("fuzzing")) }
        case 3: _ = inhibitions.popLast()
        case 4: device.setPollingInterval(seconds: UInt32(value % 8))
        case 5: device.requestStatistics()
        case 6: clock.advance(seconds: Int(value))
        default: _ = (device.guestStatistics, device.pollingIntervalSeconds, device.wakesAt, device.status.inhibitions)
        }
    }
}

/// Hears which pages are given back. The fuzzer has one thread.
final class WatchfulDiscards: DiscardSubscriber {
    nonisolated(unsafe) private var runs: [PageRun] = []
    nonisolated(unsafe) private var subscription: DiscardSubscription?

    init(_ memory: GuestRAM) { unsafe subscription = memory.subscribe(self) }

    /// Hears nothing more.
    func end() { unsafe subscription?.cancel() }

    /// What was given back since this was last asked.
    func take() -> [PageRun] {
        defer { unsafe runs = [] }
        return unsafe runs
    }

    func willDiscard(_ run: PageRun) {}
    func didDiscard(_ run: PageRun) { unsafe runs.append(run) }
    func failedToDiscard(_ run: PageRun) { demand(false, "the kernel takes anonymous memory back") }
}

/// Time goes on where the program says so.
final class FuzzClock: Sendable {
    nonisolated(unsafe) private var seconds = 0
    private let start = MonotonicClock.now()

    func advance(seconds: Int) { unsafe self.seconds += seconds }

    var clock: BalloonClock {
        BalloonClock(now: { self.start + .seconds(unsafe self.seconds) }, wallMilliseconds: { UInt64(unsafe self.seconds) * 1000 })
    }
}
