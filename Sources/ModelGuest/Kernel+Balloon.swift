import AerostatGuestMemory

// What the balloon takes out of the allocator and puts back. Every function here is called under the kernel's lock.
extension Kernel {
    /// Blocks of this order and above are reported: 2 MiB, a page block of Linux on x86.
    static let reportingOrder = 9

    /// What inflating leaves to the guest, as Linux's lowest watermark: 4 times the root of the memory in KiB, in KiB.
    var reservePages: UInt64 { UInt64((4 * Double(layout.pageCount)).squareRoot()) }

    // MARK: Inflating and deflating

    /// Takes free pages for the balloon.
    ///
    /// They lie apart, as those that Linux gives when it has run for a while: each is one of a pair, and the other one stays free.
    /// - Parameters:
    ///   - wanted: at most so many.
    ///   - inRuns: takes whole blocks instead, in ascending order.
    func fillBalloon(_ wanted: Int, inRuns: Bool, random: inout SplitMix) throws(KernelPanic) -> [Int] {
        let free = freePages(allocator)
        var left = Int(clamping: min(UInt64(clamping: wanted), free > reservePages ? free - reservePages : 0))
        var frames: [Int] = []
        frames.reserveCapacity(left)
        var lists = balloonLists
        while left > 0 {
            guard let (start, order) = try takeForBalloon(inRuns ? Int.bitWidth - 1 - left.leadingZeroBitCount : 1) else { break }
            guard hasPageNumbers(through: start + 1 << order - 1) else {
                try release(start, order: order)
                break
            }
            var taken = start..<start + 1 << order
            if !inRuns, order == 1 {
                let chosen = start + Int(random.next() & 1)
                try insertFree(chosen ^ 1, order: 0)
                taken = chosen..<chosen + 1
            }
            for frame in taken {
                try putIntoBalloon(frame, &lists)
                frames.append(frame)
            }
            left -= taken.count
        }
        balloonLists = lists
        return frames
    }

    /// Whether the host can be told of a frame: page numbers have 32 bits, which are 16 TiB of addresses.
    private func hasPageNumbers(through frame: Int) -> Bool {
        physicalAddress(frame << GuestPage.shift).rawValue >> UInt64(GuestPage.shift) <= UInt64(UInt32.max)
    }

    /// A block of the order, or the largest below it.
    private func takeForBalloon(_ order: Int) throws(KernelPanic) -> (frame: Int, order: Int)? {
        for candidate in (0...min(order, KernelLayout.topOrder)).reversed() {
            if let frame = try take(order: candidate) { return (frame, candidate) }
        }
        return nil
    }

    private func putIntoBalloon(_ frame: Int, _ lists: inout BalloonLists) throws(KernelPanic) {
        clear(frame..<frame + 1)
        memory.updateRecords(frame..<frame + 1) { _, record in
            record.forgetContent(isPoisoned: false)
            record.setHead(.ballooned, order: 0)
        }
        try memory.append(frame, order: 0, to: &lists.pages)
    }

    /// Takes the newest pages out of the balloon; they stay the host's until `freeLeaving`.
    func drainBalloon(_ wanted: Int) throws(KernelPanic) -> [Int] {
        var frames: [Int] = []
        var lists = balloonLists
        while frames.count < wanted, let frame = try memory.frame(lists.pages.last) {
            try letLeave(frame, &lists)
            frames.append(frame)
        }
        balloonLists = lists
        return frames
    }

    private func letLeave(_ frame: Int, _ lists: inout BalloonLists) throws(KernelPanic) {
        _ = try memory.order(of: frame, .ballooned)
        try memory.remove(frame, order: 0, from: &lists.pages)
        try memory.append(frame, order: 0, to: &lists.leaving)
    }

    /// Lets one page leave that another one stands in for.
    func replaceBallooned(_ frame: Int) throws(KernelPanic) {
        var lists = balloonLists
        try letLeave(frame, &lists)
        balloonLists = lists
    }

    /// The device has acknowledged: the pages that left the balloon are free, filled as memory is that was freed.
    /// - Returns: how many.
    @discardableResult
    func freeLeaving() throws(KernelPanic) -> Int {
        var count = 0
        // Bounded: there cannot be more of them than fit into a buffer.
        while count < KernelLayout.batchPages {
            var lists = balloonLists
            guard let frame = try memory.frame(lists.leaving.first) else { break }
            _ = try memory.order(of: frame, .ballooned)
            try memory.remove(frame, order: 0, from: &lists.leaving)
            balloonLists = lists
            forgetContent(frame..<frame + 1)
            try release(frame, order: 0)
            count += 1
        }
        return count
    }

    /// The device forgot the balloon: some of its pages are free.
    /// - Returns: whether there may be more.
    func abandonBalloon() throws(KernelPanic) -> Bool {
        try freeLeaving()
        try returnIsolated(areReported: false)
        return try !drainBalloon(KernelLayout.batchPages).isEmpty
    }

    /// A page of the balloon, any.
    func someBallooned(_ random: inout SplitMix) throws(KernelPanic) -> Int? {
        for _ in 0..<32 {
            let frame = Int(random.next() % UInt64(layout.pageCount))
            let block = frame >> KernelLayout.topOrder
            guard layout.isUsable(frame: frame), isClaimed(block) else { continue }
            if memory.record(of: frame).isHead(.ballooned, order: 0) { return frame }
        }
        return try memory.frame(balloonLists.pages.first)
    }

    // MARK: Out of memory

    /// An allocation failed. Where the guest is short of memory, and not only of large blocks, the balloon shall give some back.
    /// - Returns: whether it is worth waiting for that.
    func noteShortage(order: Int) -> Bool {
        driverCounters.stalls &+= 1
        // What is being reported comes back in a moment.
        if balloonLists.isolated.blocks > 0 { return true }
        let signals = balloonSignals
        guard signals.deflatesOnShortage != 0, balloonLists.pages.blocks > 0 || balloonLists.leaving.blocks > 0,
            freePages(allocator) < max(1 << UInt64(order), reservePages)
        else {
            driverCounters.kills &+= 1
            return false
        }
        if signals.isShort == 0 {
            balloonSignals.isShort = 1
            wakeWorker()
        }
        return true
    }

    // MARK: Reporting

    /// A block became free that the host may want to hear of.
    func noteFreed(order: Int) {
        guard order >= Self.reportingOrder else { return }
        let signals = balloonSignals
        guard signals.reports != 0, signals.mustReport == 0 else { return }
        balloonSignals.mustReport = 1
        wakeWorker()
    }

    /// Takes blocks that were not reported yet out of the allocator.
    func isolate(atMost count: Int) throws(KernelPanic) -> [(frame: Int, order: Int)] {
        var blocks: [(Int, Int)] = []
        var lists = balloonLists
        for order in (Self.reportingOrder...KernelLayout.topOrder).reversed() {
            // Those that were reported stand in front.
            while blocks.count < count, let frame = try memory.frame(freeList(order).last) {
                var record = memory.record(of: frame)
                guard record.isHead(.free, order: order) else {
                    throw KernelPanic("frame \(frame) on the free list of order \(order) is not a free block of that order")
                }
                if record.isReported { break }
                try removeFree(frame, order: order)
                record.setHead(.isolated, order: order)
                memory.setRecord(record, of: frame)
                try memory.append(frame, order: order, to: &lists.isolated)
                blocks.append((frame, order))
            }
        }
        balloonLists = lists
        return blocks
    }

    /// Puts the isolated blocks back; where they were reported, they say so and are the last to be used.
    func returnIsolated(areReported: Bool) throws(KernelPanic) {
        var lists = balloonLists
        // Bounded by what one report holds.
        for _ in 0..<BalloonDriver.reportBlocks {
            guard let frame = try memory.frame(lists.isolated.first) else { break }
            let order = try memory.order(of: frame, .isolated)
            try memory.remove(frame, order: order, from: &lists.isolated)
            let merged = try merge(frame, order: order)
            guard areReported, merged.order == order else {
                // Its buddy was not reported.
                try insertFree(merged.frame, order: merged.order)
                noteFreed(order: merged.order)
                continue
            }
            var record = memory.record(of: frame)
            record.setHead(.free, order: order)
            record.setReported()
            memory.setRecord(record, of: frame)
            var list = freeList(order)
            try memory.prepend(frame, order: order, to: &list)
            setFreeList(list, order)
        }
        balloonLists = lists
    }

    /// Free blocks that can be reported, reported or not.
    var reportableBlocks: UInt64 { (Self.reportingOrder...KernelLayout.topOrder).reduce(0) { $0 &+ freeList($1).blocks } }
}
