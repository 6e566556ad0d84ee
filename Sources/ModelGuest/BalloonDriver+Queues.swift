import AerostatBalloon
import AerostatGuestMemory
import AerostatVirtio

// The driver's side of each queue. Drivers number the queues that exist for the negotiated features, without gaps.
extension BalloonQueue {
    /// The fewest descriptors with which the driver works (Linux refuses fewer).
    var minimumSize: UInt32 {
        switch self {
        case .inflate, .deflate, .statistics: 1
        case .freePageHint: 2
        case .reporting: UInt32(BalloonDriver.reportBlocks)
        }
    }

    var ringSize: UInt16 { self == .freePageHint ? KernelLayout.ringSize : KernelLayout.smallRingSize }

    /// The offset in RAM of the queue's page. The hint queue has pages of its own.
    private var page: Int {
        let number = self == .reporting ? 3 : rawValue
        return (KernelLayout.smallRingsPage + number) << GuestPage.shift
    }

    var ringOffset: Int { self == .freePageHint ? KernelLayout.ringOffset : page }
    var stateOffset: Int { self == .freePageHint ? KernelLayout.ringStateOffset : page + KernelLayout.smallRingStateOffset }
    /// The offset of a small queue's only buffer.
    var bufferOffset: Int { page + KernelLayout.smallBufferOffset }

    /// The queue's number.
    func index(_ features: VirtioFeatures) -> UInt32 {
        UInt32(Self.allCases.prefix(rawValue).count { features.isSuperset(of: $0.feature) })
    }
}

extension BalloonDriver {
    /// The queue that the record describes. The record may contain anything.
    func ring(_ queue: BalloonQueue, _ record: DriverRecord) throws(KernelPanic) -> SplitVirtqueueDriver {
        let size = ringSize(queue, record)
        guard size >= queue.minimumSize, size <= UInt32(queue.ringSize), size & (size - 1) == 0 else {
            throw KernelPanic("the balloon driver's ring of \(queue) has \(size) entries")
        }
        let ring: SplitVirtqueueDriver
        do throws(VirtqueueError) {
            ring = try self.ring(queue, size: UInt16(size), VirtioFeatures(rawValue: record.features))
        } catch {
            throw KernelPanic("the balloon driver's ring of \(queue): \(error)")
        }
        try checkFree(ring, queue)
        return ring
    }

    private func checkFree(_ ring: SplitVirtqueueDriver, _ queue: BalloonQueue) throws(KernelPanic) {
        guard ring.freeDescriptors <= Int(ring.layout.size) else {
            throw KernelPanic("the balloon driver's ring of \(queue) has more free descriptors than descriptors")
        }
    }

    private func ringSize(_ queue: BalloonQueue, _ record: DriverRecord) -> UInt32 {
        let sizes = kernel.balloonRecord.ringSizes
        return switch queue {
        case .inflate: UInt32(sizes.0)
        case .deflate: UInt32(sizes.1)
        case .statistics: UInt32(sizes.2)
        case .freePageHint: record.ringSize
        case .reporting: UInt32(sizes.3)
        }
    }

    private func ring(_ queue: BalloonQueue, size: UInt16, _ features: VirtioFeatures) throws(VirtqueueError) -> SplitVirtqueueDriver {
        let layout = VirtqueueLayout(size: size, contiguousAt: kernel.physicalAddress(queue.ringOffset))
        let state = kernel.physicalAddress(queue.stateOffset)
        return try SplitVirtqueueDriver(kernel.memory.ram, layout, stateAddress: state, features: features)
    }

    // MARK: Setting up

    /// Sets up an empty queue, and tells the device about it.
    /// - Returns: the queue's size; `nil` if the device's queue is too small.
    func setUp(_ queue: BalloonQueue, _ features: VirtioFeatures) -> UInt16? {
        let index = queue.index(features)
        transport.write(.queueSelect, index)
        let maximum = min(transport.read(.queueSizeMaximum), UInt32(queue.ringSize))
        guard maximum >= queue.minimumSize else { return nil }
        let size: UInt16 = 1 << UInt16(31 - maximum.leadingZeroBitCount)
        guard let ring = try? ring(queue, size: size, features) else { return nil }
        ring.format()
        // Nothing waits for returned hints.
        if queue == .freePageHint { _ = ring.setInterrupts(enabled: false) }
        transport.setUp(queue: Int(index), ring.layout)
        return size
    }

    // MARK: Buffers

    func kick(_ queue: BalloonQueue, _ ring: SplitVirtqueueDriver, _ features: VirtioFeatures) {
        if ring.kickNeeded() { transport.write(.queueNotify, queue.index(features)) }
    }

    /// Offers the first bytes of a queue's buffer.
    func offer(_ queue: BalloonQueue, byteCount: Int, _ record: DriverRecord) throws(KernelPanic) {
        let address = kernel.physicalAddress(queue.bufferOffset)
        try offer(queue, [VirtqueueSegment(address: address, length: UInt32(byteCount), isWritable: false)], record)
    }

    func offer(_ queue: BalloonQueue, _ segments: [VirtqueueSegment], _ record: DriverRecord) throws(KernelPanic) {
        let ring = try ring(queue, record)
        guard ring.add(segments, token: 0) else { throw KernelPanic("the balloon driver's ring of \(queue) lost its free descriptors") }
        kick(queue, ring, VirtioFeatures(rawValue: record.features))
    }

    /// Whether the device has returned a buffer.
    func isBack(_ queue: BalloonQueue, _ record: DriverRecord) throws(KernelPanic) -> Bool { try returned(queue, record) > 0 }

    /// How many buffers the device has returned. The ring's size bounds it.
    func returned(_ queue: BalloonQueue, _ record: DriverRecord) throws(KernelPanic) -> Int {
        let ring = try ring(queue, record)
        var count = 0
        while count < Int(ring.layout.size) {
            try checkFree(ring, queue)
            do throws(VirtqueueError) {
                guard try ring.popUsed() != nil else { break }
            } catch {
                throw KernelPanic("the balloon driver's ring of \(queue): \(error)")
            }
            count += 1
        }
        return count
    }

    /// Writes page numbers into a queue's buffer: 32 bits each, little-endian, in pages of 4 KiB.
    func write(_ numbers: [UInt32], to queue: BalloonQueue) {
        precondition(numbers.count <= KernelLayout.batchPages, "a buffer of page numbers that is full")
        for (index, number) in numbers.enumerated() {
            kernel.memory.store(number.littleEndian, at: queue.bufferOffset + index * 4)
        }
    }

    /// A frame's number for the host; `nil` past 16 TiB, which such numbers cannot express.
    func pageNumber(_ frame: Int) -> UInt32? {
        UInt32(exactly: kernel.physicalAddress(frame << GuestPage.shift).rawValue >> UInt64(GuestPage.shift))
    }
}
