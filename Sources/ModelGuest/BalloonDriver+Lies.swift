import Balloon
import GuestMemory
import Virtio

// What a hostile guest may do on the hint queue. None of it may hurt the host, or cost the guest a page that it did not give away itself.
extension BalloonDriver {
    private static let lies = 64

    /// In place of true blocks. Nothing is held for them.
    func reportLies(_ record: inout DriverRecord, _ ring: SplitVirtqueueDriver) {
        let regions = kernel.memory.ram.regions
        let end = regions.regions.last!.end
        switch behaviour {
        case .correct, .silent, .wrongID: break
        case .outsideRAM:
            // The first begins inside RAM, with less than a page of it; the last end behind 2^64.
            let far = (0..<UInt64(Self.lies)).map { end &+ $0 << 22 }
            add([end - 512] + far + [.max - 4096, .max], length: Self.topBlockBytes, ring)
        case .unaligned:
            // Pieces of the boot header's page and its neighbour: neither is covered whole.
            let base = regions.regions[0].base.rawValue
            add((1...UInt64(Self.lies)).map { base + $0 }, length: UInt32(GuestPage.size), ring)
        case .descriptorLoop:
            offerChain(head: ring.layout.size - 1, next: ring.layout.size - 1, ring)
            record.phase = .gone
        case .badIndices:
            offerChain(head: ring.layout.size, next: .max, ring)
            store(at: ring.layout.driverArea, 2, available(ring) &+ 2 &* ring.layout.size)
            record.phase = .gone
        }
        transport.write(.queueNotify, Self.hintQueue)
    }

    private func add(_ addresses: [UInt64], length: UInt32, _ ring: SplitVirtqueueDriver) {
        for address in addresses where ring.freeDescriptors > 1 {
            _ = ring.add([VirtqueueSegment(address: GuestAddress(address), length: length, isWritable: true)], token: Token.block.rawValue)
        }
    }

    /// Offers a chain by hand, past the driver's bookkeeping, which is of no use from then on: the driver leaves the ring alone.
    private func offerChain(head: UInt16, next: UInt16, _ ring: SplitVirtqueueDriver) {
        let index = available(ring)
        let flags = UInt64(VirtqueueDescriptor.write | VirtqueueDescriptor.next)
        let descriptor = UInt64(VirtqueueDescriptor.byteCount) * UInt64(min(head, ring.layout.size - 1))
        store(at: ring.layout.descriptorTable, descriptor + 8, UInt64(GuestPage.size) | flags << 32 | UInt64(next) << 48)
        store(at: ring.layout.driverArea, 4 + 2 * UInt64(index % ring.layout.size), head)
        store(at: ring.layout.driverArea, 2, index &+ 1)
    }

    private func available(_ ring: SplitVirtqueueDriver) -> UInt16 {
        insideRAM { () throws(GuestAccessError) in
            try kernel.memory.ram.load(at: GuestAddress(ring.layout.driverArea.rawValue + 2))
        }
    }

    private func store<Value: FixedWidthInteger>(at base: GuestAddress, _ offset: UInt64, _ value: Value) {
        insideRAM { () throws(GuestAccessError) in
            try kernel.memory.ram.store(value, at: GuestAddress(base.rawValue + offset))
        }
    }

    private func insideRAM<Value>(_ access: () throws(GuestAccessError) -> Value) -> Value {
        do { return try access() } catch { preconditionFailure("a checked ring left RAM: \(error)") }
    }
}
