import AerostatGuestMemory
import AerostatVirtio
import TestSupport
import Testing

/// Rings in memory that is not there, or not there any more.
@Suite struct UnpluggedRingTests {
    private static let pageBytes = 4096
    private static let layout = VirtqueueLayout(size: 8, contiguousAt: GuestAddress(16 * 4096))

    /// 256 pages, of which the first 8 stay, and those from 16 on can be unplugged.
    private static func memory() throws -> GuestRAM {
        try GuestRAM(
            RegionTable(contiguousBytes: 1 << 20),
            blocks: [MemoryBlock(region(0, 8), .anonymous), MemoryBlock(region(16, 16), .anonymous)]
        )
    }

    private static func region(_ first: Int, _ count: Int) -> MemoryRegion {
        MemoryRegion(base: GuestAddress(UInt64(first * pageBytes)), byteCount: UInt64(count * pageBytes))
    }

    private static func isUnplugged(_ error: VirtqueueError?) -> Bool { if case .unplugged? = error { true } else { false } }

    @Test func `A ring in absent memory is refused, and so is an indirect table`() throws {
        let memory = try Self.memory()
        let absent = VirtqueueLayout(size: 8, contiguousAt: GuestAddress(UInt64(8 * Self.pageBytes)))
        #expect(throws: VirtqueueError.notInRAM(.descriptorTable, absent.descriptorTable, byteCount: 128)) {
            try SplitVirtqueue(memory, absent, features: [])
        }
        var raw = RawRing(memory, Self.layout)
        let queue = TestQueue(try SplitVirtqueue(memory, Self.layout, features: [.version1, .indirectDescriptors]))
        let table = GuestAddress(UInt64(9 * Self.pageBytes))
        try raw.write(VirtqueueDescriptor(address: table, length: 32, flags: VirtqueueDescriptor.indirect, next: 0), at: 0)
        try raw.publish(head: 0)
        #expect(throws: VirtqueueError.indirectTableNotInRAM(head: 0, table, byteCount: 32)) { try queue.pop() }
    }

    @Test(arguments: [[.version1], [.version1, .eventIndex]] as [VirtioFeatures])
    func `A ring whose memory is unplugged is broken, whatever the device does with it next`(features: VirtioFeatures) throws {
        let uses: [(String, (TestQueue, UInt16) -> Void)] = [
            ("push", { $0.push(head: $1, length: 0) }),
            ("needs interrupt", { queue, _ in _ = queue.needsInterrupt() }),
            ("suppress kicks", { queue, _ in queue.suppressKicks() }),
            // There may be something: whoever pops then hears of it.
            ("enable kicks", { queue, _ in #expect(queue.enableKicks()) }),
            ("waiting chains", { queue, _ in #expect(queue.waitingChains == 0) }),
            ("nothing", { _, _ in }),
        ]
        for (name, use) in uses {
            let memory = try Self.memory()
            var raw = RawRing(memory, Self.layout)
            let queue = TestQueue(try SplitVirtqueue(memory, Self.layout, features: features))
            for _ in 0..<2 { _ = try raw.send([segment(0x1000, 8, writable: true)]) }
            let chain = try #require(try queue.pop())
            // What is known at a first look does not keep the next one from failing.
            _ = queue.needsInterrupt()
            try memory.unplug(Self.region(16, 16))
            use(queue, chain.head)
            var found: VirtqueueError?
            do throws(VirtqueueError) { _ = try queue.pop() } catch { found = error }
            #expect(Self.isUnplugged(found), "\(name): \(String(describing: found))")
            #expect(queue.fault == found)
        }
    }
}
