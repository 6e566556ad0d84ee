package import AerostatGuestMemory
package import AerostatVirtio

/// A split virtqueue that is written byte by byte from the specification, without our ring code. It is correct by default, and as wrong as
/// a test wants it.
package struct RawRing {
    package let memory: GuestRAM
    package let layout: VirtqueueLayout
    /// The available index to publish next.
    package var available: UInt16 = 0
    private var usedSeen: UInt16 = 0
    private var nextDescriptor: UInt16 = 0

    package init(_ memory: GuestRAM, _ layout: VirtqueueLayout) {
        self.memory = memory
        self.layout = layout
    }

    package struct Used: Hashable {
        package let id: UInt32
        package let length: UInt32

        package init(id: UInt32, length: UInt32) {
            self.id = id
            self.length = length
        }
    }

    private func address(_ base: GuestAddress, _ offset: Int) -> GuestAddress { GuestAddress(base.rawValue + UInt64(offset)) }

    // MARK: Raw

    /// Writes a descriptor into the ring's table, or into any other.
    package func write(_ descriptor: VirtqueueDescriptor, at index: Int, table: GuestAddress? = nil) throws {
        let place = address(table ?? layout.descriptorTable, 16 * index)
        try memory.store(descriptor.address.rawValue, at: place)
        try memory.store(descriptor.length, at: address(place, 8))
        try memory.store(descriptor.flags, at: address(place, 12))
        try memory.store(descriptor.next, at: address(place, 14))
    }

    package func setAvailableIndex(_ index: UInt16) throws { try memory.storeRelease(index, at: address(layout.driverArea, 2)) }
    package func setAvailableFlags(_ flags: UInt16) throws { try memory.storeRelaxed(flags, at: layout.driverArea) }
    package func setUsedEvent(_ event: UInt16) throws {
        try memory.storeRelaxed(event, at: address(layout.driverArea, 4 + 2 * Int(layout.size)))
    }
    package func usedFlags() throws -> UInt16 { try memory.loadRelaxed(at: layout.deviceArea) }
    package func usedIndex() throws -> UInt16 { try memory.loadAcquire(at: address(layout.deviceArea, 2)) }
    package func availableEvent() throws -> UInt16 { try memory.loadRelaxed(at: address(layout.deviceArea, 4 + 8 * Int(layout.size))) }

    // MARK: Correct

    /// Makes the chain that starts at a descriptor available.
    package mutating func publish(head: UInt16) throws {
        try memory.store(head, at: address(layout.driverArea, 4 + 2 * Int(available % layout.size)))
        available &+= 1
        try setAvailableIndex(available)
    }

    /// Writes a chain into the next descriptors, in a circle, and makes it available.
    /// - Returns: its head.
    @discardableResult
    package mutating func send(_ segments: [VirtqueueSegment]) throws -> UInt16 {
        let head = nextDescriptor
        for (position, segment) in segments.enumerated() {
            let index = nextDescriptor
            nextDescriptor = (nextDescriptor + 1) % layout.size
            let more = position + 1 < segments.count
            let flags = (segment.isWritable ? VirtqueueDescriptor.write : 0) | (more ? VirtqueueDescriptor.next : 0)
            let descriptor = VirtqueueDescriptor(
                address: segment.address,
                length: segment.length,
                flags: flags,
                next: more ? nextDescriptor : 0
            )
            try write(descriptor, at: Int(index))
        }
        try publish(head: head)
        return head
    }

    /// What the device gave back since the last call.
    package mutating func newUsed() throws -> [Used] {
        let index = try usedIndex()
        var result: [Used] = []
        while usedSeen != index {
            let entry = address(layout.deviceArea, 4 + 8 * Int(usedSeen % layout.size))
            result.append(Used(id: try memory.load(at: entry), length: try memory.load(at: address(entry, 4))))
            usedSeen &+= 1
        }
        return result
    }
}
