import AerostatGuestMemory

// What a vCPU does between two safe points. A step is short (at most 64 pages written), so that pausing is quick. It reads its record from
// RAM, works, and writes the record back before it returns.
extension Kernel {
    static let stepPages = 64
    /// How often an idle vCPU's timer ticks.
    private static let idleTickNanoseconds: UInt64 = 100_000_000
    /// A vCPU that fell behind its rate makes up for at most this much.
    private static let maximumLagNanoseconds: UInt64 = 100_000_000
    /// How many blocks one step of churn may free.
    private static let freesPerStep = 64

    /// Does one step.
    /// - Parameter now: the time on the guest's clock, in nanoseconds.
    /// - Returns: when the next step is due, on the same clock.
    func step(_ vcpu: Int, now: UInt64) throws(KernelPanic) -> UInt64 {
        var record = loadVCPU(vcpu)
        guard record.nextTick <= now else {
            // A clock that came from a peer may lag behind the record. It must not delay anything for longer than a second.
            return min(record.nextTick, now &+ 1_000_000_000)
        }
        record.steps &+= 1
        switch parameters.workload {
        case .idle: record.nextTick = now &+ Self.idleTickNanoseconds
        case .hog:
            if try rewriteResident(&record) == 0 { record.nextTick = now &+ Self.idleTickNanoseconds }
        case .steady: pace(&record, now, pages: try rewriteResident(&record))
        case .churn, .squeeze: pace(&record, now, pages: try churn(&record))
        }
        storeVCPU(record, vcpu)
        return record.nextTick
    }

    private func pace(_ record: inout VCPURecord, _ now: UInt64, pages: Int) {
        let bytes = UInt64(max(pages, 1)) << UInt64(GuestPage.shift)
        let (product, overflow) = bytes.multipliedReportingOverflow(by: 1_000_000_000)
        precondition(!overflow, "a step is far below 2^64 / 10^9 bytes")
        record.nextTick =
            max(record.nextTick, now < Self.maximumLagNanoseconds ? 0 : now - Self.maximumLagNanoseconds) &+ product / parameters.rate
    }

    /// Rewrites the next resident pages, each with its next generation.
    private func rewriteResident(_ record: inout VCPURecord) throws(KernelPanic) -> Int {
        var written = 0
        while written < Self.stepPages {
            if record.cursorBlock == 0 || record.passPages >= parameters.workingSet {
                (record.cursorBlock, record.cursorPage, record.passPages) = (UInt32(truncatingIfNeeded: record.resident.first), 0, 0)
            }
            guard let block = try memory.frame(UInt64(record.cursorBlock)) else { break }
            let size = 1 << (try memory.order(of: block, .allocated))
            let start = min(Int(record.cursorPage), size - 1)
            let limit = min(UInt64(Self.stepPages - written), parameters.workingSet - record.passPages)
            let count = min(size - start, Int(limit))
            memory.stamp(block + start..<block + start + count, seed: parameters.seed)
            record.stampedPages &+= UInt64(count)
            written += count
            record.passPages &+= UInt64(count)
            record.cursorPage = UInt32(start + count)
            if start + count == size {
                record.cursorBlock = memory.record(of: block).next
                record.cursorPage = 0
            }
        }
        return written
    }

    /// Stamps more of the current block, or gets the next one, of random order, and frees the oldest blocks to make room.
    private func churn(_ record: inout VCPURecord) throws(KernelPanic) -> Int {
        if record.fillingBlock == 0 { try beginBlock(&record) }
        guard let block = try memory.frame(UInt64(record.fillingBlock)) else { return 0 }
        let order = try memory.order(of: block, .allocated)
        let start = min(Int(record.fillingPage), 1 << order - 1)
        let end = min(start + Self.stepPages, 1 << order)
        memory.stamp(block + start..<block + end, seed: parameters.seed)
        record.stampedPages &+= UInt64(end - start)
        record.fillingPage = UInt32(end)
        if end == 1 << order {
            try memory.append(block, order: order, to: &record.churn)
            record.fillingBlock = 0
        }
        return end - start
    }

    private func beginBlock(_ record: inout VCPURecord) throws(KernelPanic) {
        var random = SplitMix(state: record.random)
        defer { record.random = random.state }
        let order = parameters.workload == .squeeze ? KernelLayout.topOrder : Int.random(in: 0...KernelLayout.topOrder, using: &random)
        if record.churn.pages &+ (1 << UInt64(order)) > record.churnTarget {
            // The target was reached, so shrink or grow to another one. This puts held blocks under pressure again and again.
            record.churnTarget = UInt64.random(in: 0...max(1, min(parameters.churnPages, UInt64(layout.pageCount))), using: &random)
        }
        var mayWait = false
        let allocated = try locked { () throws(KernelPanic) -> Int? in
            var freed = 0
            while record.churn.pages &+ (1 << UInt64(order)) > record.churnTarget, freed < Self.freesPerStep {
                guard try freeOldest(&record.churn) else { break }
                freed += 1
            }
            let block = try allocate(order: order)
            if block == nil { mayWait = noteShortage(order: order) }
            return block
        }
        if let allocated {
            (record.fillingBlock, record.fillingPage) = (UInt32(allocated), 0)
        } else if !mayWait {
            _ = try locked { () throws(KernelPanic) in try freeOldest(&record.churn) }
        }
    }

    private func freeOldest(_ list: inout FrameList) throws(KernelPanic) -> Bool {
        guard let frame = try memory.frame(list.first) else { return false }
        try memory.remove(frame, order: try memory.order(of: frame, .allocated), from: &list)
        try free(frame)
        return true
    }
}
