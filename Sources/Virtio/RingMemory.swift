import AerostatGuestMemory
import Synchronization

/// Access to the three areas of one ring, which were checked to lie in RAM; guest RAM never moves or shrinks, so nothing here fails.
struct RingMemory: Sendable {
    let memory: GuestRAM
    let layout: VirtqueueLayout

    init(_ memory: GuestRAM, _ layout: VirtqueueLayout, maximumSize: UInt16) throws(VirtqueueError) {
        try layout.check(in: memory, maximumSize: maximumSize)
        self.memory = memory
        self.layout = layout
    }

    var mask: UInt16 { layout.size - 1 }

    // MARK: Places

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

    // MARK: Access

    func load<Value: FixedWidthInteger>(_ type: Value.Type, _ address: GuestAddress) -> Value {
        insideRAM { () throws(AccessError) in try memory.load(type, at: address) }
    }

    func store<Value: FixedWidthInteger>(_ value: Value, _ address: GuestAddress) {
        insideRAM { () throws(AccessError) in try memory.store(value, at: address) }
    }

    func loadAcquire(_ address: GuestAddress) -> UInt16 {
        insideRAM { () throws(AccessError) in try memory.loadAcquire(at: address) }
    }

    func storeRelease(_ value: UInt16, _ address: GuestAddress) {
        insideRAM { () throws(AccessError) in try memory.storeRelease(value, at: address) }
    }

    /// Reads what the other side wishes about notifications (flags, events), which it may be changing now. The fences around the wishes
    /// order them; a plain access would leave undefined what is read.
    func loadWish(_ address: GuestAddress) -> UInt16 {
        insideRAM { () throws(AccessError) in try memory.loadRelaxed(at: address) }
    }

    func storeWish(_ value: UInt16, _ address: GuestAddress) {
        insideRAM { () throws(AccessError) in try memory.storeRelaxed(value, at: address) }
    }

    func loadDescriptor(_ address: GuestAddress) -> VirtqueueDescriptor {
        let words = (load(UInt64.self, address), load(UInt64.self, GuestAddress(address.rawValue + 8)))
        return VirtqueueDescriptor(
            address: GuestAddress(words.0),
            length: UInt32(truncatingIfNeeded: words.1),
            flags: UInt16(truncatingIfNeeded: words.1 >> 32),
            next: UInt16(truncatingIfNeeded: words.1 >> 48)
        )
    }

    func storeDescriptor(_ descriptor: VirtqueueDescriptor, _ index: UInt16) {
        let address = self.descriptor(index)
        store(descriptor.address.rawValue, address)
        let rest = UInt64(descriptor.length) | UInt64(descriptor.flags) << 32 | UInt64(descriptor.next) << 48
        store(rest, GuestAddress(address.rawValue + 8))
    }

    private func insideRAM<Value>(_ access: () throws(AccessError) -> Value) -> Value {
        do { return try access() } catch { preconditionFailure("a checked ring left RAM: \(error)") }
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
