public import AerostatGuestMemory
import Synchronization

#if BrokenEngines
    import AerostatHost
#endif

/// How far the device has read and written a ring. Device state carries this; the rings themselves are in guest RAM.
public struct VirtqueuePosition: Hashable, Sendable {
    /// The next available entry to pop.
    public var nextAvailable: UInt16
    /// The next used entry to fill.
    public var nextUsed: UInt16

    public init(nextAvailable: UInt16 = 0, nextUsed: UInt16 = 0) {
        self.nextAvailable = nextAvailable
        self.nextUsed = nextUsed
    }
}

/// The buffers that the driver made available as one chain.
public struct DescriptorChain: Hashable, Sendable {
    /// The number by which the chain is given back.
    public let head: UInt16
    /// The readable ones come first. At least one, at most the ring's size. Not checked against RAM.
    public let segments: [VirtqueueSegment]
    /// How many of the segments are readable.
    public let readableCount: Int

    /// The segments that the device reads.
    public var readable: ArraySlice<VirtqueueSegment> { segments[..<readableCount] }
    /// The segments that the device writes.
    public var writable: ArraySlice<VirtqueueSegment> { segments[readableCount...] }
}

/// The device's side of a split virtqueue.
///
/// The guest wrote every byte that this reads, and may be writing while it is read. So each field is loaded once, checked, and then used.
/// Only the rings and indirect tables must lie in RAM. Whether a segment does is for the device to check, because a bad hint must not break
/// a queue.
///
/// Do not copy it: a copy would hand out the same chains again.
public struct SplitVirtqueue: Sendable {
    private let ring: RingMemory
    private let features: VirtioFeatures
    private var nextAvailable: UInt16
    private var nextUsed: UInt16
    /// The used index when `needsInterrupt` was last called. Unknown after a restore, which costs one unneeded interrupt.
    private var lastSignalled: UInt16?
    /// Whether the driver was told that kicks are not needed. Unknown at first.
    private var kicksSuppressed: Bool?
    /// Why the queue is broken; `nil` if it is not.
    public private(set) var fault: VirtqueueError?

    /// Where the queue lies in guest memory.
    public var layout: VirtqueueLayout { ring.layout }
    /// How far the device has got. Its saved state must hold this.
    public var position: VirtqueuePosition { VirtqueuePosition(nextAvailable: nextAvailable, nextUsed: nextUsed) }

    /// Takes over a ring that the driver has set up.
    /// - Parameters:
    ///   - position: where an earlier owner of the queue stopped; the start for a fresh ring.
    public init(
        _ memory: GuestRAM,
        _ layout: VirtqueueLayout,
        features: VirtioFeatures,
        maximumSize: UInt16 = VirtqueueLayout.maximumSize,
        position: VirtqueuePosition = VirtqueuePosition()
    ) throws(VirtqueueError) {
        ring = try RingMemory(memory, layout, maximumSize: maximumSize)
        self.features = features
        nextAvailable = position.nextAvailable
        nextUsed = position.nextUsed
    }

    // MARK: Chains

    /// The next chain that the driver made available; `nil` if there is none. A broken queue repeats its error.
    public mutating func pop() throws(VirtqueueError) -> DescriptorChain? {
        if let fault { throw fault }
        do throws(VirtqueueError) {
            // Acquire: the entry and the descriptors were written before the index.
            let available = ring.loadAcquire(ring.availableIndex)
            let waiting = available &- nextAvailable
            if waiting == 0 { return nil }
            #if BrokenEngines
                let isJump = waiting > layout.size && !BrokenEngine.isActive(.followsIndexJump)
            #else
                let isJump = waiting > layout.size
            #endif
            guard !isJump else {
                throw .availableIndexJump(available: available, next: nextAvailable, size: layout.size)
            }
            let head = ring.load(UInt16.self, ring.availableEntry(nextAvailable))
            guard head < layout.size else { throw .headOutOfRange(head: head, size: layout.size) }
            let chain = try readChain(head)
            nextAvailable &+= 1
            return chain
        } catch {
            fault = error
            throw error
        }
    }

    /// Chains that the driver has made available and that were not popped; at most the ring's size, whatever the driver says.
    public var waitingChains: UInt16 { min(ring.loadAcquire(ring.availableIndex) &- nextAvailable, layout.size) }

    /// Gives a chain back.
    /// - Parameter length: how many bytes the device wrote into it.
    public mutating func push(head: UInt16, length: UInt32) {
        precondition(head < layout.size, "a head that was never popped")
        #if BrokenEngines
            let restore = ring.memory.unmarkingWrite(at: layout.deviceArea)
            defer { restore() }
        #endif
        let entry = ring.usedEntry(nextUsed)
        ring.store(UInt32(head), entry)
        ring.store(length, GuestAddress(entry.rawValue + 4))
        nextUsed &+= 1
        // Release: the entry is visible before the index that covers it.
        ring.storeRelease(nextUsed, ring.usedIndex)
    }

    private func readChain(_ head: UInt16) throws(VirtqueueError) -> DescriptorChain {
        var table = layout.descriptorTable
        var limit = UInt32(layout.size)
        var index = UInt32(head)
        var visited: UInt32 = 0
        var isIndirect = false
        var segments: [VirtqueueSegment] = []
        var readableCount = 0
        while true {
            let descriptor = ring.loadDescriptor(GuestAddress(table.rawValue + 16 * UInt64(index)))
            visited += 1
            let hasNext = descriptor.flags & VirtqueueDescriptor.next != 0
            if descriptor.flags & VirtqueueDescriptor.indirect != 0 {
                guard features.contains(.indirectDescriptors), !isIndirect, !hasNext else {
                    throw .indirectNotAllowed(head: head, descriptor: index)
                }
                limit = try checkIndirectTable(descriptor, head)
                table = descriptor.address
                (index, visited, isIndirect) = (0, 0, true)
                continue
            }
            guard descriptor.length > 0 else { throw .zeroLength(head: head, descriptor: index) }
            guard segments.count < Int(layout.size) else { throw .tooManySegments(head: head, maximum: layout.size) }
            let isWritable = descriptor.flags & VirtqueueDescriptor.write != 0
            if !isWritable {
                guard readableCount == segments.count else { throw .readableAfterWritable(head: head, descriptor: index) }
                readableCount += 1
            }
            segments.append(VirtqueueSegment(address: descriptor.address, length: descriptor.length, isWritable: isWritable))
            guard hasNext else { break }
            guard descriptor.next < limit else { throw .nextOutOfRange(next: descriptor.next, limit: limit, head: head) }
            // A chain visits each descriptor of its table at most once.
            guard visited < limit else { throw .loop(head: head) }
            index = UInt32(descriptor.next)
        }
        return DescriptorChain(head: head, segments: segments, readableCount: readableCount)
    }

    /// How many descriptors an indirect table holds. Its WRITE flag has no meaning (specification 2.7.5.3.2).
    private func checkIndirectTable(_ descriptor: VirtqueueDescriptor, _ head: UInt16) throws(VirtqueueError) -> UInt32 {
        let size = UInt32(VirtqueueDescriptor.byteCount)
        guard descriptor.length > 0, descriptor.length % size == 0 else {
            throw .indirectLength(head: head, byteCount: descriptor.length)
        }
        guard ring.memory.regions.offset(of: descriptor.address, byteCount: Int(descriptor.length)) != nil else {
            throw .indirectTableNotInRAM(head: head, descriptor.address, byteCount: descriptor.length)
        }
        return descriptor.length / size
    }

    // MARK: Notifications

    /// Whether the driver wants an interrupt for what was pushed since the last call.
    public mutating func needsInterrupt() -> Bool {
        // The used index must be visible before the driver's setting is read. The driver writes its setting and then reads the index, and
        // one of the two must see the other. A release store does not order a later load; only a full fence does.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let old = lastSignalled
        lastSignalled = nextUsed
        guard features.contains(.eventIndex) else {
            return ring.loadWish(ring.availableFlags) & RingFlag.noInterrupt == 0
        }
        guard let old else { return true }
        return indexPassed(event: ring.loadWish(ring.usedEvent), new: nextUsed, old: old)
    }

    /// Tells the driver that kicks are not needed while the ring is being read anyway. Kicks may still arrive.
    public mutating func suppressKicks() {
        if kicksSuppressed == true { return }
        kicksSuppressed = true
        // With EVENT_IDX the event stays where it is, behind the index that the driver has passed.
        if !features.contains(.eventIndex) { ring.storeWish(RingFlag.noNotify, ring.usedFlags) }
    }

    /// Asks the driver for a kick when the next chain comes.
    /// - Returns: whether one came meanwhile: then there will be no kick, and the caller pops again.
    public mutating func enableKicks() -> Bool {
        if kicksSuppressed != false {
            kicksSuppressed = false
            if !features.contains(.eventIndex) { ring.storeWish(0, ring.usedFlags) }
        }
        if features.contains(.eventIndex) { ring.storeWish(nextAvailable, ring.availableEvent) }
        // The wish must be visible before the index is read again, or a chain published in between is never seen.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return ring.loadAcquire(ring.availableIndex) != nextAvailable
    }
}
