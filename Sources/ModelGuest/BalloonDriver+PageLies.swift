import AerostatBalloon
import AerostatGuestMemory
import AerostatVirtio

// What a hostile guest may do with the balloon's other queues. None of it may harm the host, or touch memory that the guest did not name.
// After each lie that does not break a queue on purpose the driver tells the truth.
extension BalloonDriver {
    /// Tells the next lie. Afterwards either the device has a buffer, or the driver has given up the device.
    func lie(_ balloon: inout BalloonRecord, _ record: inout DriverRecord) throws(KernelPanic) {
        let number = Int(balloon.lie)
        balloon.lie &+= 1
        switch behaviour {
        case .inflateOutsideRAM where number == 1:
            write(Array(strangers.prefix(KernelLayout.batchPages)), to: .inflate)
            try offer(.inflate, byteCount: min(strangers.count, KernelLayout.batchPages) * 4, record)
        case .inflateTwice where number <= 3:
            guard let page = try pageForLies(&balloon) else { return balloon.lie = 0 }
            write([UInt32](repeating: page, count: KernelLayout.batchPages), to: .inflate)
            // First one number 256 times, then the same number more than ten thousand times, then once more.
            try offer(.inflate, buffers(.inflate, number == 2 ? 40 : 1, byteCount: number == 3 ? 4 : 1024, record), record)
        case .oddLengths where number <= Self.oddLengths.count:
            guard let page = try pageForLies(&balloon) else { return balloon.lie = 0 }
            write([UInt32](repeating: page, count: KernelLayout.batchPages), to: .inflate)
            try offer(
                .inflate,
                Self.pieces(Self.oddLengths[number - 1], at: kernel.physicalAddress(BalloonQueue.inflate.bufferOffset)),
                record
            )
        case .deflateStrangers where number == 1:
            let resident = blocksInUse.prefix(64).map { UInt32(truncatingIfNeeded: $0.address >> UInt64(GuestPage.shift)) }
            let numbers = (strangers.prefix(64) + resident + (0..<UInt32(KernelLayout.fixedPages))).prefix(KernelLayout.batchPages)
            write(Array(numbers), to: .deflate)
            try offer(.deflate, byteCount: numbers.count * 4, record)
        case .inflateOwnRing where number == 1:
            write([pageNumber(BalloonQueue.inflate.ringOffset >> GuestPage.shift)!], to: .inflate)
            try offer(.inflate, byteCount: 4, record)
        case .inflateLoop:
            let ring = try ring(.inflate, record)
            offerChain(head: ring.layout.size - 1, next: ring.layout.size - 1, ring)
            transport.write(.queueNotify, BalloonQueue.inflate.index(VirtioFeatures(rawValue: record.features)))
            record.phase = .gone
            return
        case .emptyKicks:
            for index in [0, 1, 2, 3, 4, 5, 64, UInt32.max] { transport.write(.queueNotify, index) }
            return balloon.lie = 0
        default: return balloon.lie = 0
        }
        balloon.operation = .lying
    }

    /// Lengths of buffers that are not multiples of 4, alone and together.
    private static let oddLengths = [[1], [2], [3], [5], [7], [1021], [1, 1, 1, 1], [3, 5, 2, 6], [1023, 1]]

    /// Adjacent descriptors with these lengths.
    private static func pieces(_ lengths: [Int], at address: GuestAddress) -> [VirtqueueSegment] {
        var start = address.rawValue
        return lengths.map { length in
            defer { start += UInt64(length) }
            return VirtqueueSegment(address: GuestAddress(start), length: UInt32(length), isWritable: false)
        }
    }

    /// The same buffer, as many times as the ring has room for, at most `count`.
    private func buffers(
        _ queue: BalloonQueue,
        _ count: Int,
        byteCount: Int,
        _ record: DriverRecord
    ) throws(KernelPanic) -> [VirtqueueSegment] {
        let room = try ring(queue, record).freeDescriptors
        let address = kernel.physicalAddress(queue.bufferOffset)
        let segment = VirtqueueSegment(address: address, length: UInt32(byteCount), isWritable: false)
        return [VirtqueueSegment](repeating: segment, count: min(count, room))
    }

    /// The number of a page that is in the balloon, or goes into it now. Lies about such a page cannot lose data.
    private func pageForLies(_ balloon: inout BalloonRecord) throws(KernelPanic) -> UInt32? {
        var random = SplitMix(state: balloon.random)
        defer { balloon.random = random.state }
        return try kernel.locked { () throws(KernelPanic) in
            if let frame = try kernel.memory.frame(kernel.balloonLists.pages.last) { return pageNumber(frame) }
            return try kernel.fillBalloon(1, inRuns: false, random: &random).first.flatMap(pageNumber)
        }
    }

    /// Page numbers outside RAM.
    private var strangers: [UInt32] {
        let regions = kernel.memory.ram.regions
        let behind = regions.regions.flatMap { region in
            (0..<UInt64(KernelLayout.batchPages) / 2).map { region.end >> UInt64(GuestPage.shift) + $0 * 3 }
        }
        let far: [UInt64] = [1 << 31, 1 << 31 + 1, 0xFFFF_FFFE, 0xFFFF_FFFF]
        return (far + behind).filter { regions.page(containing: GuestAddress($0 << UInt64(GuestPage.shift))) == nil }
            .map { UInt32(truncatingIfNeeded: $0) }
    }

    // MARK: Reports and statistics

    /// Adds false blocks to a true report: blocks outside RAM, and parts of pages in use.
    func falseReports(beside blocks: [VirtqueueSegment]) -> [VirtqueueSegment] {
        let end = kernel.memory.ram.regions.regions.last!.end
        let outside = [(end, 1 << 21), (end + 1 << 30, 1 << 21), (UInt64.max - 4095, 4096)]
        let partial = blocksInUse.prefix(4).map { ($0.address + 512, GuestPage.size) } + blocksInUse.prefix(4).map { ($0.address + 1, 64) }
        let lies = (outside + partial).map { address, count in
            VirtqueueSegment(address: GuestAddress(address), length: UInt32(count), isWritable: true)
        }
        return lies + blocks + blocks
    }

    /// Sends unknown tags, thousands of entries, none, and two buffers; then the true values.
    /// - Returns: how many buffers the device has now.
    func sendFalseStatistics(_ record: DriverRecord) throws(KernelPanic) -> Int {
        switch try kernel.locked({ kernel.driverCounters.statistics % 6 }) {
        case 0: try sendStatistics((0..<90).flatMap { Self.entry(UInt16(1000 &+ $0), .max) } + Self.entry(4, 1), record)
        case 1:
            try kernel.locked { kernel.driverCounters.statistics &+= 1 }
            try offer(.statistics, buffers(.statistics, 60, byteCount: 1020, record), record)
        case 2: try sendStatistics([0], record)
        case 3:
            try sendStatistics(Self.entry(4, 2), record)
            try sendStatistics(Self.entry(4, 3), record)
            return 2
        default: try sendStatistics(record)
        }
        return 1
    }
}
