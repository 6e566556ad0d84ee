import AerostatGuestMemory

// The blocks that the balloon driver holds for hints: a stack of block numbers in RAM, newest on top (Linux's list is last in, first out
// too). A held block that was never touched has no frame records; bit 31 of its entry says so. All functions here are called under the
// kernel's lock.
extension Kernel {
    private static let virginBit: UInt32 = 1 << 31

    /// One entry of the held stack.
    struct HeldBlock: Hashable, Sendable {
        let block: Int
        let isVirgin: Bool

        var entry: UInt32 { UInt32(block) | (isVirgin ? Kernel.virginBit : 0) }

        init(block: Int, isVirgin: Bool) {
            self.block = block
            self.isVirgin = isVirgin
        }

        init(entry: UInt32) {
            block = Int(entry & ~Kernel.virginBit)
            isVirgin = entry & Kernel.virginBit != 0
        }
    }

    /// Takes a free block of the top order out of the allocator, and holds it.
    /// - Returns: the block; `nil` if none is left.
    func holdBlock() throws(KernelPanic) -> Int? {
        guard let (block, isVirgin) = try takeTopOrderBlock() else { return nil }
        if !isVirgin { setHead(.held, ofBlock: block) }
        var state = allocator
        guard state.heldBlocks < UInt64(layout.blockCount) else { throw KernelPanic("more blocks are held than there are") }
        memory.store(HeldBlock(block: block, isVirgin: isVirgin).entry, at: layout.heldOffset(of: Int(state.heldBlocks)))
        state.heldBlocks &+= 1
        if isVirgin { state.heldVirginBlocks &+= 1 }
        state.heldHighWater = max(state.heldHighWater, state.heldBlocks)
        allocator = state
        clear(block << KernelLayout.topOrder..<(block + 1) << KernelLayout.topOrder)
        return block
    }

    /// Gives the newest held block back to the allocator, unchanged.
    /// - Returns: whether there was one.
    func returnHeldBlock() throws(KernelPanic) -> Bool {
        guard let held = try popHeld() else { return false }
        let frame = held.block << KernelLayout.topOrder
        if !held.isVirgin {
            try insertFree(frame, order: KernelLayout.topOrder)
        } else if parameters.clearsAllocated, balloonSignals.reports != 0 {
            // It was cleared when it was held, so it exists, and the host wants to hear of it.
            try insertFree(describe(block: held.block), order: KernelLayout.topOrder)
        } else {
            returnVirginBlock(held.block)
            return true
        }
        noteFreed(order: KernelLayout.topOrder)
        return true
    }

    /// The shrinker. Memory is short, so the newest held block is used at once, even in the middle of a round, and whether or not the
    /// device has read its hint. (The engine must make sure that this loses no page: rule "arm before asking".)
    func shrink() throws(KernelPanic) -> (frame: Int, order: Int)? {
        guard let held = try popHeld() else { return nil }
        allocator.shrunkBlocks &+= 1
        driverCounters.stalls &+= 1
        if isInHintRound { allocator.shrunkInRound &+= 1 }
        let frame = held.isVirgin ? describe(block: held.block) : held.block << KernelLayout.topOrder
        return (frame, KernelLayout.topOrder)
    }

    private func popHeld() throws(KernelPanic) -> HeldBlock? {
        var state = allocator
        guard state.heldBlocks > 0 else { return nil }
        guard state.heldBlocks <= UInt64(layout.blockCount) else { throw KernelPanic("more blocks are held than there are") }
        state.heldBlocks &-= 1
        let held = HeldBlock(entry: memory.load(at: layout.heldOffset(of: Int(state.heldBlocks))))
        guard layout.isUsable(block: held.block), isClaimed(held.block) else {
            throw KernelPanic("the held stack names block \(held.block), which cannot be held")
        }
        if held.isVirgin {
            state.heldVirginBlocks &-= 1
        } else {
            guard memory.record(of: held.block << KernelLayout.topOrder).isHead(.held, order: KernelLayout.topOrder) else {
                throw KernelPanic("block \(held.block) is on the held stack, but its record says something else")
            }
            setHead(.inside, ofBlock: held.block)
        }
        allocator = state
        return held
    }

    private func setHead(_ state: FrameRecord.State, ofBlock block: Int) {
        let frame = block << KernelLayout.topOrder
        var record = memory.record(of: frame)
        record.setHead(state, order: state == .inside ? 0 : KernelLayout.topOrder)
        memory.setRecord(record, of: frame)
    }
}
