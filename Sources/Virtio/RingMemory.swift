import AerostatGuestMemory
import Synchronization

/// Where the fields of a ring are.
protocol RingPlaces {
    var layout: VirtqueueLayout { get }
}

extension RingPlaces {
    private var mask: UInt16 { layout.size - 1 }

    private func at(_ base: GuestAddress, _ offset: Int) -> GuestAddress { GuestAddress(base.rawValue + UInt64(offset)) }

    var availableFlags: GuestAddress { layout.driverArea }
    var availableIndex: GuestAddress { at(layout.driverArea, 2) }
    func availableEntry(_ index: UInt16) -> GuestAddress { at(layout.driverArea, 4 + 2 * Int(index & mask)) }
    /// The used entry after which the driver wants an interrupt (EVENT_IDX).
    var usedEvent: GuestAddress { at(layout.driverArea, 4 + 2 * Int(layout.size)) }

    var usedFlags: GuestAddress { layout.deviceArea }
    var usedIndex: GuestAddress { at(layout.deviceArea, 2) }
    func usedEntry(_ index: UInt16) -> GuestAddress { at(layout.deviceArea, 4 + 8 * Int(index & mask)) }
    /// The available entry after which the device wants a kick (EVENT_IDX).
    var availableEvent: GuestAddress { at(layout.deviceArea, 4 + 8 * Int(layout.size)) }

    func descriptor(_ index: UInt16) -> GuestAddress { at(layout.descriptorTable, 16 * Int(index)) }
}

/// Access to the three areas of one ring, for the device.
///
/// They were checked to lie in RAM that is present. RAM never moves, but the block that holds them may be unplugged while the driver still
/// uses the ring. That breaks the queue, like anything else that a driver does wrong.
struct RingMemory: RingPlaces, Sendable {
    let memory: GuestRAM
    let layout: VirtqueueLayout

    init(_ memory: GuestRAM, _ layout: VirtqueueLayout, maximumSize: UInt16) throws(VirtqueueError) {
        try layout.check(in: memory, maximumSize: maximumSize)
        self.memory = memory
        self.layout = layout
    }

    func load<Value: FixedWidthInteger>(_ type: Value.Type, _ address: GuestAddress) throws(VirtqueueError) -> Value {
        do throws(AccessError) { return try memory.load(type, at: address) } catch { throw .unplugged(error) }
    }

    func store<Value: FixedWidthInteger>(_ value: Value, _ address: GuestAddress) throws(VirtqueueError) {
        do throws(AccessError) { try memory.store(value, at: address) } catch { throw .unplugged(error) }
    }

    func loadAcquire(_ address: GuestAddress) throws(VirtqueueError) -> UInt16 {
        do throws(AccessError) { return try memory.loadAcquire(at: address) } catch { throw .unplugged(error) }
    }

    func storeRelease(_ value: UInt16, _ address: GuestAddress) throws(VirtqueueError) {
        do throws(AccessError) { try memory.storeRelease(value, at: address) } catch { throw .unplugged(error) }
    }

    /// Reads what the other side wishes about notifications (flags, events), which it may be changing now. The fences around the wishes
    /// order them; a plain access would leave undefined what is read.
    func loadWish(_ address: GuestAddress) throws(VirtqueueError) -> UInt16 {
        do throws(AccessError) { return try memory.loadRelaxed(at: address) } catch { throw .unplugged(error) }
    }

    func storeWish(_ value: UInt16, _ address: GuestAddress) throws(VirtqueueError) {
        do throws(AccessError) { try memory.storeRelaxed(value, at: address) } catch { throw .unplugged(error) }
    }

    func loadDescriptor(_ address: GuestAddress) throws(VirtqueueError) -> VirtqueueDescriptor {
        let words = (try load(UInt64.self, address), try load(UInt64.self, GuestAddress(address.rawValue + 8)))
        return VirtqueueDescriptor(
            address: GuestAddress(words.0),
            length: UInt32(truncatingIfNeeded: words.1),
            flags: UInt16(truncatingIfNeeded: words.1 >> 32),
            next: UInt16(truncatingIfNeeded: words.1 >> 48)
        )
    }

    func storeDescriptor(_ descriptor: VirtqueueDescriptor, _ index: UInt16) throws(VirtqueueError) {
        let address = self.descriptor(index)
        try store(descriptor.address.rawValue, address)
        let rest = UInt64(descriptor.length) | UInt64(descriptor.flags) << 32 | UInt64(descriptor.next) << 48
        try store(rest, GuestAddress(address.rawValue + 8))
    }
}

/// The same access for the driver, which is a part of the guest: nobody unplugs the memory that it works in, and no access fails.
struct DriverRing: RingPlaces, Sendable {
    private let ring: RingMemory
    var layout: VirtqueueLayout { ring.layout }

    init(_ ring: RingMemory) { self.ring = ring }

    func load<Value: FixedWidthInteger>(_ type: Value.Type, _ address: GuestAddress) -> Value {
        inRAM { () throws(VirtqueueError) in try ring.load(type, address) }
    }

    func store<Value: FixedWidthInteger>(_ value: Value, _ address: GuestAddress) {
        inRAM { () throws(VirtqueueError) in try ring.store(value, address) }
    }

    func loadAcquire(_ address: GuestAddress) -> UInt16 { inRAM { () throws(VirtqueueError) in try ring.loadAcquire(address) } }
    func storeRelease(_ value: UInt16, _ address: GuestAddress) {
        inRAM { () throws(VirtqueueError) in try ring.storeRelease(value, address) }
    }

    func loadWish(_ address: GuestAddress) -> UInt16 { inRAM { () throws(VirtqueueError) in try ring.loadWish(address) } }
    func storeWish(_ value: UInt16, _ address: GuestAddress) { inRAM { () throws(VirtqueueError) in try ring.storeWish(value, address) } }

    func loadDescriptor(_ address: GuestAddress) -> VirtqueueDescriptor {
        inRAM { () throws(VirtqueueError) in try ring.loadDescriptor(address) }
    }

    func storeDescriptor(_ descriptor: VirtqueueDescriptor, _ index: UInt16) {
        inRAM { () throws(VirtqueueError) in try ring.storeDescriptor(descriptor, index) }
    }

    private func inRAM<Value>(_ access: () throws(VirtqueueError) -> Value) -> Value {
        do { return try access() } catch { preconditionFailure("a driver's own ring: \(error)") }
    }
}

/// Flags in the available and the used ring.
enum RingFlag {
    /// VIRTQ_AVAIL_F_NO_INTERRUPT
    static let noInterrupt: UInt16 = 1
    /// VIRTQ_USED_F_NO_NOTIFY
    static let noNotify: UInt16 = 1
}

/// Whether the index has passed the entry where the other side asked to be notified (specification 2.7.10: `vring_need_event`).
func indexPassed(event: UInt16, new: UInt16, old: UInt16) -> Bool { new &- event &- 1 < new &- old }
