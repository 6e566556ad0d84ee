import AerostatBalloon
import AerostatGuestMemory
import AerostatMigration
import AerostatVirtio

// What a hostile guest may do on the hint queue. None of it may harm the host, or cost the guest a page that it did not give away itself.
extension BalloonDriver {
    private static let lies = 64

    /// Reports false blocks in place of true ones. The driver holds nothing for them.
    func reportLies(_ record: inout DriverRecord, _ ring: SplitVirtqueueDriver) {
        let regions = kernel.memory.ram.regions
        let end = regions.regions.last!.end
        switch behaviour {
        case .correct, .silent, .wrongID, .reloading, .slow, .inflateOutsideRAM, .inflateTwice, .inflateOwnRing, .oddLengths,
            .deflateStrangers, .inflateLoop, .emptyKicks, .falseReports, .falseStatistics, .muteBalloon:
            break
        case .outsideRAM:
            // The first blocks begin inside RAM: with an unused page, and with less than a page. The last end past 2^64.
            let far = (0..<UInt64(Self.lies)).map { end &+ $0 << 22 }
            for block in unusedLastPages { add([block.address], length: block.length, ring) }
            add([end - 512] + far + [.max - 4096, .max], length: Self.topBlockBytes, ring)
        case .unaligned:
            // Blocks that cover parts of two pages and no whole page: first the boot header and its neighbour, then pages in use.
            let base = regions.regions[0].base.rawValue
            let pieces = blocksInUse.map { $0.address &+ 512 }
            add((1...UInt64(Self.lies / 2)).map { base + $0 } + pieces, length: UInt32(GuestPage.size), ring)
        case .staleID:
            for block in blocksInUse { add([block.address], length: block.length, ring) }
        case .descriptorLoop:
            offerChain(head: ring.layout.size - 1, next: ring.layout.size - 1, ring)
            record.phase = .gone
        case .badIndices:
            offerChain(head: ring.layout.size, next: .max, ring)
            publish(available(ring) &+ 2 &* ring.layout.size, ring)
            record.phase = .gone
        case .indexJump:
            offerBehindJump(blocksInUse.prefix(Int(ring.layout.size) / 2), ring)
            record.phase = .gone
        }
        transport.write(.queueNotify, BalloonQueue.freePageHint.index(VirtioFeatures(rawValue: record.features)))
    }

    /// Blocks that start with a region's last page, if the allocator does not own that page, and end before the next region.
    private var unusedLastPages: [(address: UInt64, length: UInt32)] {
        let regions = kernel.memory.ram.regions
        let nextBases = regions.regions.dropFirst().map(\.base.rawValue) + [.max]
        return zip(regions.regions, nextBases).compactMap { region, next in
            let address = region.end - UInt64(GuestPage.size)
            guard let page = regions.page(containing: GuestAddress(address)), page.rawValue >= kernel.layout.firstFrame,
                !kernel.layout.isUsable(frame: page.rawValue)
            else { return nil }
            return (address, UInt32(min(next - address, UInt64(Self.topBlockBytes))))
        }
    }

    /// Blocks that stay in use while the guest runs.
    var blocksInUse: [(address: UInt64, length: UInt32)] {
        var blocks: [(UInt64, UInt32)] = []
        var link = kernel.loadVCPU(0).resident.first
        while blocks.count < Self.lies, let frame = try? kernel.memory.frame(link),
            let order = try? kernel.memory.order(of: frame, .allocated)
        {
            blocks.append((kernel.physicalAddress(frame << GuestPage.shift).rawValue, UInt32(GuestPage.size << order)))
            link = UInt64(kernel.memory.record(of: frame).next)
        }
        return blocks
    }

    private func add(_ addresses: [UInt64], length: UInt32, _ ring: SplitVirtqueueDriver) {
        for address in addresses where ring.freeDescriptors > 1 {
            _ = ring.add([VirtqueueSegment(address: GuestAddress(address), length: length, isWritable: true)], token: Token.block.rawValue)
        }
    }

    /// Offers a chain without the driver's bookkeeping, which is wrong from then on. The driver does not use the ring again.
    func offerChain(head: UInt16, next: UInt16, _ ring: SplitVirtqueueDriver) {
        let index = available(ring)
        let flags = UInt64(VirtqueueDescriptor.write | VirtqueueDescriptor.next)
        let descriptor = UInt64(VirtqueueDescriptor.byteCount) * UInt64(min(head, ring.layout.size - 1))
        store(at: ring.layout.descriptorTable, descriptor + 8, UInt64(GuestPage.size) | flags << 32 | UInt64(next) << 48)
        store(at: ring.layout.driverArea, 4 + 2 * UInt64(index % ring.layout.size), head)
        publish(index &+ 1, ring)
    }

    /// Puts buffers into the next entries of the ring, then moves the index past them and two ring sizes further. All descriptors are
    /// free.
    private func offerBehindJump(_ blocks: ArraySlice<(address: UInt64, length: UInt32)>, _ ring: SplitVirtqueueDriver) {
        let index = available(ring)
        for (number, block) in zip(UInt16(0)..., blocks) {
            let descriptor = UInt64(VirtqueueDescriptor.byteCount) * UInt64(number)
            store(at: ring.layout.descriptorTable, descriptor, block.address)
            store(at: ring.layout.descriptorTable, descriptor + 8, UInt64(block.length) | UInt64(VirtqueueDescriptor.write) << 32)
            store(at: ring.layout.driverArea, 4 + 2 * UInt64((index &+ number) % ring.layout.size), number)
        }
        publish(index &+ UInt16(blocks.count) &+ 2 &* ring.layout.size, ring)
    }

    /// Writes the available index with release order, as a driver does: the device may be reading it.
    private func publish(_ index: UInt16, _ ring: SplitVirtqueueDriver) {
        insideRAM { () throws(AccessError) in
            try kernel.memory.ram.storeRelease(index, at: GuestAddress(ring.layout.driverArea.rawValue + 2))
        }
    }

    private func available(_ ring: SplitVirtqueueDriver) -> UInt16 {
        insideRAM { () throws(AccessError) in
            try kernel.memory.ram.load(at: GuestAddress(ring.layout.driverArea.rawValue + 2))
        }
    }

    private func store<Value: FixedWidthInteger>(at base: GuestAddress, _ offset: UInt64, _ value: Value) {
        insideRAM { () throws(AccessError) in
            try kernel.memory.ram.store(value, at: GuestAddress(base.rawValue + offset))
        }
    }

    private func insideRAM<Value>(_ access: () throws(AccessError) -> Value) -> Value {
        do { return try access() } catch { preconditionFailure("a checked ring left RAM: \(error)") }
    }
}

extension DriverBehaviour {
    /// Whether all blocks that the driver reports are free and held.
    var isTruthful: Bool {
        switch self {
        case .correct, .wrongID, .reloading, .slow: true
        case .silent, .outsideRAM, .unaligned, .staleID, .descriptorLoop, .badIndices, .indexJump: false
        case .inflateOutsideRAM, .inflateTwice, .inflateOwnRing, .oddLengths, .deflateStrangers, .inflateLoop, .emptyKicks, .falseReports,
            .falseStatistics, .muteBalloon:
            true
        }
    }

    /// Whether the driver lies before it follows a new target.
    var liesAboutPages: Bool {
        [.inflateOutsideRAM, .inflateTwice, .inflateOwnRing, .oddLengths, .deflateStrangers, .inflateLoop, .emptyKicks].contains(self)
    }
}
