import AerostatGuestMemory
import AerostatModelGuest
import Testing

extension ModelGuestTests {
    @Suite struct AllocatorTests {
        /// The test's model: which frames are taken, by block.
        @Test(arguments: 1...4 as ClosedRange<UInt64>)
        func `Random operations never allocate a frame twice, and all memory can be freed again`(seed: UInt64) throws {
            var configuration = try configuration(48)
            configuration.usedShare = 0
            configuration.freedShare = 0.3
            configuration.seed = seed
            let kernel = try Kernel(booting: configuration, in: KernelMemory(GuestRAM(configuration.memory)))
            let empty = KernelCheck.run(kernel)
            #expect(empty.isClean, "seed \(seed): \(empty)")
            var random = SplitMix(state: seed)
            var owner = [Bool](repeating: false, count: kernel.memory.layout.pageCount)
            var blocks: [(frame: Int, order: Int)] = []
            for _ in 0..<20_000 {
                if Bool.random(using: &random) || blocks.isEmpty {
                    let order = Int.random(in: 0...KernelLayout.topOrder, using: &random)
                    guard let frame = try kernel.locked({ () throws(KernelPanic) in try kernel.allocate(order: order) }) else { continue }
                    #expect(frame % (1 << order) == 0 && frame >= kernel.memory.layout.firstFrame, "seed \(seed)")
                    for page in frame..<frame + 1 << order {
                        try #require(!owner[page], "seed \(seed): frame \(page) given twice")
                        owner[page] = true
                    }
                    blocks.append((frame, order))
                } else {
                    let (frame, order) = blocks.swapAt(Int.random(in: 0..<blocks.count, using: &random))
                    try kernel.locked { () throws(KernelPanic) in try kernel.free(frame) }
                    for page in frame..<frame + 1 << order { owner[page] = false }
                }
                #expect(kernel.allocator.allocatedPages == UInt64(blocks.reduce(0) { $0 + 1 << $1.order }), "seed \(seed)")
            }
            for (frame, _) in blocks { try kernel.locked { () throws(KernelPanic) in try kernel.free(frame) } }
            let result = KernelCheck.run(kernel)
            #expect(result.isClean, "seed \(seed): \(result)")
            #expect(result.pagesFree == empty.pagesFree && result.pagesFreeTopOrder == empty.pagesFreeTopOrder, "seed \(seed)")
        }

        @Test func `A guest can allocate its last page, and no more`() throws {
            var configuration = try configuration(16)
            configuration.usedShare = 0
            configuration.freedShare = 0
            let kernel = try Kernel(booting: configuration, in: KernelMemory(GuestRAM(configuration.memory)))
            let free = KernelCheck.run(kernel).pagesFree
            var taken = 0
            while try kernel.locked({ () throws(KernelPanic) in try kernel.allocate(order: 0) }) != nil { taken += 1 }
            #expect(taken == free)
            #expect(KernelCheck.run(kernel).pagesFree == 0)
        }

        @Test func `With several regions, no block lies in two of them`() throws {
            let regions = try RegionTable([
                MemoryRegion(base: GuestAddress(0), byteCount: 21 << 20),
                MemoryRegion(base: GuestAddress(1 << 32), byteCount: 26 << 20 + 8192),
            ])
            var configuration = ModelGuestConfiguration(memory: regions)
            configuration.usedShare = 1
            configuration.freedShare = 0
            let guest = try ModelGuest(booting: configuration, tracker: .software)
            let result = try guest.check()
            #expect(result.isClean, "\(result)")
            // Nobody owns the block on the edge, or the tail after the last whole block. The tables are small.
            #expect(result.pagesFree == 0 && result.pagesChecked > regions.pageCount - 2 * 1024 - 200)
            let edge = regions.regions[0].pageCount
            #expect(guest.kernel!.memory.record(of: edge).word == 0)
        }
    }
}

extension Array {
    /// Removes an element without keeping the order.
    fileprivate mutating func swapAt(_ index: Int) -> Element {
        swapAt(index, count - 1)
        return removeLast()
    }
}
