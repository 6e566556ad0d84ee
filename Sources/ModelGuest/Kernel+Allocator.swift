import AerostatGuestMemory

// A binary buddy allocator like Linux's: blocks of 2^order frames are halved to allocate, and merged with their buddies when freed. All
// functions here are called under the kernel's lock.
extension Kernel {
    /// Takes a block from the free lists, or from untouched memory, or, under pressure, from what the balloon driver holds.
    ///
    /// The block's pages keep their generations and what is known of their poison. They carry no stamp until they are written.
    /// - Returns: its first frame; `nil` if there is no such block.
    package func allocate(order: Int) throws(KernelPanic) -> Int? {
        guard let frame = try take(order: order) else { return nil }
        var record = memory.record(of: frame)
        record.setHead(.allocated, order: order)
        memory.setRecord(record, of: frame)
        allocator.allocatedPages &+= 1 << UInt64(order)
        clear(frame..<frame + 1 << order)
        return frame
    }

    /// Takes a block out of the allocator. Its head's record is not changed yet.
    func take(order: Int) throws(KernelPanic) -> Int? {
        var source = try takeFree(order)
        if source == nil { source = claimVirgin() }
        if source == nil { source = try shrink() }
        guard let found = source else { return nil }
        var current = found.order
        while current > order {
            current -= 1
            try insertFree(found.frame + 1 << current, order: current)
        }
        return found.frame
    }

    /// Frees an allocated block, which must be on no list.
    package func free(_ frame: Int) throws(KernelPanic) {
        let order = try memory.order(of: frame, .allocated)
        forgetContent(frame..<frame + 1 << order)
        allocator.allocatedPages &-= 1 << UInt64(order)
        try release(frame, order: order)
    }

    /// Frees an allocated block of the top order except for a smaller one in it, which stays allocated. So the block stays in pieces.
    func free(_ frame: Int, keeping kept: Int, order keptOrder: Int) throws(KernelPanic) {
        let order = try memory.order(of: frame, .allocated)
        precondition((frame..<frame + 1 << order).contains(kept) && kept % (1 << keptOrder) == 0, "what is kept is a block in the block")
        forgetContent(frame..<kept)
        forgetContent(kept + 1 << keptOrder..<frame + 1 << order)
        var start = frame
        for half in (keptOrder..<order).reversed() {
            let upper = start + 1 << half
            // The half without the kept block is free. It cannot merge, because its buddy holds that block.
            try insertFree(kept < upper ? upper : start, order: half)
            if kept >= upper { start = upper }
        }
        var record = memory.record(of: kept)
        record.setHead(.allocated, order: keptOrder)
        memory.setRecord(record, of: kept)
        allocator.allocatedPages &-= 1 << UInt64(order) - 1 << UInt64(keptOrder)
        noteFreed(order: order - 1)
    }

    /// Merges an unowned block with its free buddies, and puts the result on a free list.
    func release(_ frame: Int, order: Int) throws(KernelPanic) {
        let merged = try merge(frame, order: order)
        try insertFree(merged.frame, order: merged.order)
        noteFreed(order: merged.order)
    }

    /// Merges a block that is nobody's with its free buddies.
    func merge(_ frame: Int, order: Int) throws(KernelPanic) -> (frame: Int, order: Int) {
        var (frame, order) = (frame, order)
        while order < KernelLayout.topOrder {
            let buddy = frame ^ 1 << order
            guard memory.isFree(buddy, order: order) else { break }
            try removeFree(buddy, order: order)
            setInside(max(frame, buddy))
            frame = min(frame, buddy)
            order += 1
        }
        return (frame, order)
    }

    // MARK: Where blocks come from

    /// Takes the smallest free block that is large enough off its list.
    private func takeFree(_ order: Int) throws(KernelPanic) -> (frame: Int, order: Int)? {
        for candidate in order...KernelLayout.topOrder {
            // The newest block: its cache lines are likely still in the processor's cache.
            guard let frame = try memory.frame(freeList(candidate).last) else { continue }
            guard memory.record(of: frame).isHead(.free, order: candidate), frame & (1 << candidate - 1) == 0 else {
                throw KernelPanic("frame \(frame) on the free list of order \(candidate) is not a free block of that order")
            }
            try removeFree(frame, order: candidate)
            return (frame, candidate)
        }
        return nil
    }

    private func claimVirgin() -> (frame: Int, order: Int)? {
        guard let block = takeVirginBlock() else { return nil }
        return (describe(block: block), KernelLayout.topOrder)
    }

    /// Takes a block of the top order off the free lists, or from untouched memory. In the latter case its records are not changed.
    func takeTopOrderBlock() throws(KernelPanic) -> (block: Int, isVirgin: Bool)? {
        if let (frame, _) = try takeFree(KernelLayout.topOrder) { return (frame >> KernelLayout.topOrder, false) }
        return takeVirginBlock().map { ($0, true) }
    }

    /// Initialises the frame records of a block that has none.
    /// - Returns: its first frame.
    func describe(block: Int) -> Int {
        memory.clearRecords(ofBlock: block)
        allocator.describedBlocks &+= 1
        return block << KernelLayout.topOrder
    }

    /// Finds the first block that nobody ever touched, and claims it.
    private func takeVirginBlock() -> Int? {
        var state = allocator
        guard state.virginBlocks > 0 else { return nil }
        var block = Int(clamping: state.virginCursor)
        while block < layout.blockCount {
            let bits = ~bitmapWord(block >> 6) >> UInt64(block & 63)
            if bits == 0 {
                block = (block | 63) + 1
                continue
            }
            block += bits.trailingZeroBitCount
            guard block < layout.blockCount else { break }
            if layout.isUsable(block: block), block != layout.firstBlock {
                setClaimed(block, true)
                state.virginBlocks &-= 1
                state.virginCursor = UInt64(block + 1)
                allocator = state
                return block
            }
            block += 1
        }
        return nil
    }

    /// Makes a claimed block virgin again. It must not have been touched.
    func returnVirginBlock(_ block: Int) {
        setClaimed(block, false)
        allocator.virginBlocks &+= 1
        allocator.virginCursor = min(allocator.virginCursor, UInt64(block))
    }

    func isClaimed(_ block: Int) -> Bool { bitmapWord(block >> 6) & 1 << UInt64(block & 63) != 0 }

    func setClaimed(_ block: Int, _ claimed: Bool) {
        let bit: UInt64 = 1 << UInt64(block & 63)
        let word = bitmapWord(block >> 6)
        memory.store(claimed ? word | bit : word & ~bit, at: layout.bitmapOffset + (block >> 6) * 8)
    }

    private func bitmapWord(_ index: Int) -> UInt64 { memory.load(at: layout.bitmapOffset + index * 8) }

    // MARK: Records and lists

    func insertFree(_ frame: Int, order: Int) throws(KernelPanic) {
        var record = memory.record(of: frame)
        record.setHead(.free, order: order)
        memory.setRecord(record, of: frame)
        var list = freeList(order)
        try memory.append(frame, order: order, to: &list)
        setFreeList(list, order)
    }

    func removeFree(_ frame: Int, order: Int) throws(KernelPanic) {
        var list = freeList(order)
        try memory.remove(frame, order: order, from: &list)
        setFreeList(list, order)
    }

    private func setInside(_ frame: Int) {
        var record = memory.record(of: frame)
        record.setHead(.inside, order: 0)
        memory.setRecord(record, of: frame)
    }

    /// Clears memory that is being allocated, if the guest does that.
    func clear(_ frames: Range<Int>) {
        if parameters.clearsAllocated { memory.fill(frames, with: 0) }
    }

    func forgetContent(_ frames: Range<Int>) {
        if let poison = parameters.poison { memory.fill(frames, with: poison) }
        memory.updateRecords(frames) { _, record in record.forgetContent(isPoisoned: parameters.poison != nil) }
    }
}
