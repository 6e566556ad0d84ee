public import AerostatGuestMemory
import Synchronization

/// The driver's side of a split virtqueue, as in a guest kernel.
///
/// All its private state lies in guest RAM too, so that moving RAM moves the driver: an object that another process makes over the same
/// addresses continues where the first one stopped. One thread at a time.
///
///     state + 0   u16  head of the list of free descriptors (linked by `next`)
///           + 2   u16  number of free descriptors
///           + 4   u16  available index published
///           + 6   u16  next used entry to read
///           + 8   u16  available index when the driver last asked whether to kick
///           + 10  u16  1 if interrupts are wanted
///           + 16  u64 x N  token of the chain that starts at each descriptor
///           + 16 + 8 N     u8 x N, 1 if the device has a chain that starts there
public struct SplitVirtqueueDriver: Sendable {
    private let ring: DriverRing
    private let state: GuestAddress
    private let features: VirtioFeatures

    /// Where the queue lies in guest memory.
    public var layout: VirtqueueLayout { ring.layout }

    /// The number of bytes of guest RAM that the private state occupies.
    public static func stateByteCount(size: UInt16) -> Int { 16 + 9 * Int(size) }

    /// Uses a ring and its state that `format` has written before, perhaps in another process.
    /// - Parameter stateAddress: `stateByteCount` bytes in one region of RAM.
    public init(
        _ memory: GuestRAM,
        _ layout: VirtqueueLayout,
        stateAddress: GuestAddress,
        features: VirtioFeatures
    ) throws(VirtqueueError) {
        ring = DriverRing(try RingMemory(memory, layout, maximumSize: VirtqueueLayout.maximumSize))
        let count = Self.stateByteCount(size: layout.size)
        precondition(memory.contains(stateAddress, byteCount: count), "driver state outside RAM")
        state = stateAddress
        self.features = features
    }

    /// Makes the ring and its state empty. Call before the device is told where the ring is.
    public func format() {
        for index in 0..<layout.size {
            ring.storeDescriptor(VirtqueueDescriptor(address: GuestAddress(0), length: 0, flags: 0, next: index &+ 1), index)
            ring.store(UInt8(0), outstandingAddress(index))
            ring.store(UInt16(0), ring.availableEntry(index))
            ring.store(UInt64(0), ring.usedEntry(index))
        }
        for address in [
            ring.availableFlags, ring.availableIndex, ring.usedEvent, ring.usedFlags, ring.usedIndex, ring.availableEvent,
        ] {
            ring.store(UInt16(0), address)
        }
        for field in Field.allCases { self[field] = 0 }
        self[.freeCount] = layout.size
        self[.interruptsWanted] = 1
    }

    // MARK: Chains

    /// How many more segments fit.
    public var freeDescriptors: Int { Int(self[.freeCount]) }

    /// Makes a chain available to the device.
    /// - Parameters:
    ///   - segments: at least one, readable ones first.
    ///   - token: returned by `popUsed`.
    /// - Returns: false if the ring has not enough free descriptors; then nothing happened.
    public func add(_ segments: [VirtqueueSegment], token: UInt64) -> Bool {
        precondition(!segments.isEmpty, "a chain has at least one segment")
        guard segments.count <= freeDescriptors else { return false }
        let head = self[.freeHead]
        var index = head
        for (position, segment) in segments.enumerated() {
            let next = ring.loadDescriptor(ring.descriptor(index)).next
            var flags = segment.isWritable ? VirtqueueDescriptor.write : 0
            if position + 1 < segments.count { flags |= VirtqueueDescriptor.next }
            let descriptor = VirtqueueDescriptor(address: segment.address, length: segment.length, flags: flags, next: next)
            ring.storeDescriptor(descriptor, index)
            index = next
        }
        self[.freeHead] = index
        self[.freeCount] -= UInt16(segments.count)
        ring.store(token, tokenAddress(head))
        ring.store(UInt8(1), outstandingAddress(head))
        let available = self[.availableIndex]
        ring.store(head, ring.availableEntry(available))
        self[.availableIndex] = available &+ 1
        // Release: descriptors and entry are visible before the index that covers them.
        ring.storeRelease(available &+ 1, ring.availableIndex)
        return true
    }

    /// The next chain that the device gave back, and how much it wrote; `nil` if there is none.
    ///
    /// Throws if the device returns a chain that it does not have, or one that guest memory no longer describes correctly.
    public func popUsed() throws(VirtqueueError) -> (token: UInt64, length: UInt32)? {
        let next = self[.nextUsed]
        if ring.loadAcquire(ring.usedIndex) == next { return nil }
        let entry = ring.usedEntry(next)
        let id = ring.load(UInt32.self, entry)
        let length = ring.load(UInt32.self, GuestAddress(entry.rawValue + 4))
        guard id < UInt32(layout.size), ring.load(UInt8.self, outstandingAddress(UInt16(id))) == 1 else { throw .notOutstanding(id: id) }
        let head = UInt16(id)
        try free(chain: head)
        self[.nextUsed] = next &+ 1
        if features.contains(.eventIndex), self[.interruptsWanted] == 1 { ring.storeWish(next &+ 1, ring.usedEvent) }
        return (ring.load(UInt64.self, tokenAddress(head)), length)
    }

    /// Puts a chain's descriptors at the front of the free list.
    private func free(chain head: UInt16) throws(VirtqueueError) {
        var last = head
        var count: UInt16 = 1
        while true {
            let descriptor = ring.loadDescriptor(ring.descriptor(last))
            guard descriptor.flags & VirtqueueDescriptor.next != 0 else { break }
            guard descriptor.next < layout.size else {
                throw .nextOutOfRange(next: descriptor.next, limit: UInt32(layout.size), head: head)
            }
            guard count < layout.size else { throw .loop(head: head) }
            last = descriptor.next
            count += 1
        }
        var descriptor = ring.loadDescriptor(ring.descriptor(last))
        descriptor.next = self[.freeHead]
        ring.storeDescriptor(descriptor, last)
        ring.store(UInt8(0), outstandingAddress(head))
        self[.freeHead] = head
        self[.freeCount] += count
    }

    // MARK: Notifications

    /// Whether the device wants a kick for what was added since the last call.
    public func kickNeeded() -> Bool {
        // The available index must be visible before the device's setting is read; see `SplitVirtqueue.enableKicks`.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let new = self[.availableIndex]
        let old = self[.kickedIndex]
        self[.kickedIndex] = new
        guard features.contains(.eventIndex) else {
            return new != old && ring.loadWish(ring.usedFlags) & RingFlag.noNotify == 0
        }
        return indexPassed(event: ring.loadWish(ring.availableEvent), new: new, old: old)
    }

    /// Asks for interrupts, or asks the device not to send them.
    /// - Returns: whether used chains are waiting now. After enabling, the caller must take them, because no interrupt will come for them.
    public func setInterrupts(enabled: Bool) -> Bool {
        self[.interruptsWanted] = enabled ? 1 : 0
        let next = self[.nextUsed]
        if features.contains(.eventIndex) {
            // "Off" sets the event as far away as possible: one interrupt in 65536 entries.
            ring.storeWish(enabled ? next : next &- 1, ring.usedEvent)
        } else {
            ring.storeWish(enabled ? 0 : RingFlag.noInterrupt, ring.availableFlags)
        }
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return ring.loadAcquire(ring.usedIndex) != next
    }

    /// Asks for one interrupt when `count` chains are back (Linux: `virtqueue_enable_cb_delayed`). A sleeper that is woken for each chain
    /// would handle only one at a time.
    /// - Parameter count: more than zero, and at most the number of chains that the device has.
    /// - Returns: whether that many are waiting now. No interrupt will come for them.
    public func enableInterrupt(after count: UInt16) -> Bool {
        guard features.contains(.eventIndex) else { return setInterrupts(enabled: true) }
        self[.interruptsWanted] = 1
        let next = self[.nextUsed]
        ring.storeWish(next &+ count &- 1, ring.usedEvent)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return ring.loadAcquire(ring.usedIndex) &- next >= count
    }

    // MARK: State in guest RAM

    private enum Field: UInt64, CaseIterable {
        case freeHead = 0
        case freeCount = 2
        case availableIndex = 4
        case nextUsed = 6
        case kickedIndex = 8
        case interruptsWanted = 10
    }

    private subscript(field: Field) -> UInt16 {
        get { ring.load(UInt16.self, GuestAddress(state.rawValue + field.rawValue)) }
        nonmutating set { ring.store(newValue, GuestAddress(state.rawValue + field.rawValue)) }
    }

    private func tokenAddress(_ index: UInt16) -> GuestAddress { GuestAddress(state.rawValue + 16 + 8 * UInt64(index)) }

    private func outstandingAddress(_ index: UInt16) -> GuestAddress {
        GuestAddress(state.rawValue + 16 + 8 * UInt64(layout.size) + UInt64(index))
    }
}
