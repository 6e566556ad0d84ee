import AerostatGuestMemory
package import AerostatHost

extension Kernel {
    /// Boots a kernel in fresh, all-zero RAM: first tables, then memory in use, then memory that was in use once.
    ///
    /// Used and freed blocks are drawn in random order. So they lie mixed in the lower part of RAM, and the rest stays untouched.
    package convenience init(booting configuration: ModelGuestConfiguration, in memory: KernelMemory) throws(SystemError) {
        let pages = memory.layout.pageCount
        let unused = UInt64(Double(pages) * (1 - configuration.usedShare))
        memory.store(BootHeader(configuration.behaviour, pageCount: pages, freePages: unused), at: 0)
        do throws(KernelPanic) {
            try self.init(running: memory)
        } catch {
            preconditionFailure("a configuration that was validated does not boot: \(error)")
        }
        let own = "the kernel's own tables are wrong at boot"
        var plan: BootPlan
        do throws(KernelPanic) {
            initialiseTables()
            try freeBehindTables()
            plan = try allocateAtBoot(configuration)
        } catch {
            preconditionFailure("\(own): \(error)")
        }
        try fill(plan)
        do throws(KernelPanic) { try plan.freeAll(in: self) } catch { preconditionFailure("\(own): \(error)") }
    }
}

/// What boot allocated. Blocks that stay in use are already on their vCPUs' lists; those here are not.
private struct BootPlan {
    /// Blocks that are filled and then freed.
    var freed: [Int] = []
    /// Every block to fill, with its order.
    var filled: [(frame: Int, order: Int)] = []
    /// Decides which blocks stay in pieces, and around which frame.
    var random: SplitMix
    let fragmentationShare: Double
    /// Of what stays allocated in a block that stays in pieces.
    let keptOrder: Int

    mutating func freeAll(in kernel: Kernel) throws(KernelPanic) {
        let whole = freed.count
        var pieces = Int((Double(whole) * fragmentationShare).rounded())
        for (done, frame) in freed.enumerated() {
            let order = try kernel.memory.order(of: frame, .allocated)
            // Draws without replacement: exactly `pieces` blocks anywhere among them stay in pieces.
            guard order == KernelLayout.topOrder, Int.random(in: 0..<whole - done, using: &random) < pieces else {
                try kernel.free(frame)
                continue
            }
            pieces -= 1
            let kept = frame + Int.random(in: 0..<1 << order, using: &random) & -(1 << keptOrder)
            try kernel.free(frame, keeping: kept, order: keptOrder)
            try kernel.appendResident(kept, order: keptOrder, vcpu: done % kernel.parameters.vcpus)
        }
    }
}

extension Kernel {
    /// Counts all memory as virgin.
    func initialiseTables() {
        allocator = AllocatorState(virginBlocks: UInt64(layout.virginBlocksAtBoot), virginCursor: UInt64(layout.firstBlock + 1))
        for vcpu in 0..<parameters.vcpus {
            storeVCPU(VCPURecord(random: PageContent.mix(parameters.seed &+ UInt64(vcpu))), vcpu)
        }
    }

    /// Frees the memory behind the tables in their last block.
    func freeBehindTables() throws(KernelPanic) {
        guard layout.isUsable(block: layout.firstBlock) else { return }
        setClaimed(layout.firstBlock, true)
        let start = describe(block: layout.firstBlock)
        memory.updateRecords(start..<layout.firstFrame) { _, record in record.setHead(.table, order: 0) }
        var frame = layout.firstFrame
        while frame < start + KernelLayout.topBlockPages {
            // The largest block that is aligned here. It cannot reach beyond the end, which is aligned to the top order.
            let order = min(frame.trailingZeroBitCount, KernelLayout.topOrder)
            try insertFree(frame, order: order)
            frame += 1 << order
        }
    }

    private func allocateAtBoot(_ configuration: ModelGuestConfiguration) throws(KernelPanic) -> BootPlan {
        let free = Double(freePages(allocator))
        let used = min(Double(layout.pageCount) * configuration.usedShare, free)
        let freed = min(Double(layout.pageCount) * configuration.freedShare, free - used)
        var plan = BootPlan(
            random: SplitMix(state: PageContent.mix(parameters.seed ^ 0xB007)),
            fragmentationShare: configuration.fragmentationShare,
            keptOrder: configuration.leavesHalves ? KernelLayout.topOrder - 1 : 0
        )
        var (usedPages, freedPages) = (Int(used), Int(freed))
        while usedPages + freedPages > 0 {
            let blocks = (used: usedPages >> KernelLayout.topOrder, freed: freedPages >> KernelLayout.topOrder)
            let isUsed: Bool
            let wanted: Int
            if blocks.used + blocks.freed > 0 {
                isUsed = Int.random(in: 0..<blocks.used + blocks.freed, using: &plan.random) < blocks.used
                wanted = KernelLayout.topOrder
            } else {
                // Less than a block of the top order is left on either side, so smaller blocks follow.
                isUsed = usedPages > 0
                let left = isUsed ? usedPages : freedPages
                wanted = Int.bitWidth - 1 - left.leadingZeroBitCount
            }
            guard let (frame, order) = try allocateAtMost(wanted) else { break }
            let vcpu = plan.filled.count % parameters.vcpus
            plan.filled.append((frame, order))
            if isUsed {
                try appendResident(frame, order: order, vcpu: vcpu)
                usedPages -= 1 << order
            } else {
                plan.freed.append(frame)
                freedPages -= 1 << order
            }
        }
        return plan
    }

    /// Allocates a block of the order, or the largest below it that there is.
    private func allocateAtMost(_ order: Int) throws(KernelPanic) -> (frame: Int, order: Int)? {
        for candidate in (0...order).reversed() {
            if let frame = try allocate(order: candidate) { return (frame, candidate) }
        }
        return nil
    }

    /// Writes the content of all blocks, with one thread for each vCPU.
    private func fill(_ plan: BootPlan) throws(SystemError) {
        // As in a real guest, most of this memory is mapped in huge pages. Untouched blocks are taken in ascending order, so nothing
        // between the first and the last whole block stays untouched.
        let whole = plan.filled.filter { $0.order == KernelLayout.topOrder }.map(\.frame)
        if let first = whole.min(), let last = whole.max() {
            memory.ram.adviseHugePages(PageRun(first: PageIndex(first), count: last + KernelLayout.topBlockPages - first))
        }
        let filled = plan.filled
        var threads: [HostThread] = []
        for vcpu in 0..<parameters.vcpus {
            let share = stride(from: vcpu, to: filled.count, by: parameters.vcpus).map { filled[$0] }
            var record = loadVCPU(vcpu)
            record.stampedPages = share.reduce(0) { $0 + 1 << UInt64($1.order) }
            storeVCPU(record, vcpu)
            threads.append(
                try HostThread(name: "boot \(vcpu)") { [memory, parameters] in
                    for (frame, order) in share { memory.stamp(frame..<frame + 1 << order, seed: parameters.seed) }
                }
            )
        }
        for thread in threads { thread.join() }
    }

    func appendResident(_ frame: Int, order: Int, vcpu: Int) throws(KernelPanic) {
        var record = loadVCPU(vcpu)
        try memory.append(frame, order: order, to: &record.resident)
        storeVCPU(record, vcpu)
    }
}
