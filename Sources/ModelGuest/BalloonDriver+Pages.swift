import AerostatBalloon
import AerostatGuestMemory
import AerostatVirtio

// The balloon itself: inflate and deflate (Linux: `fill_balloon`, `leak_balloon`, `virtballoon_oom_notify`, `virtballoon_migratepage`).
// The device has one buffer at a time. A page that leaves the balloon is not used before the device has acknowledged it.
extension BalloonDriver {
    func advanceBalloon(_ balloon: inout BalloonRecord, _ record: inout DriverRecord, _ now: UInt64) throws(KernelPanic) -> Next {
        switch balloon.operation {
        case .none: return try beginOperation(&balloon, &record, now)
        case .inflating:
            guard try isBack(.inflate, record) else { return .sleepUntilInterrupt }
            try finish(&balloon)
        case .deflating:
            guard try isBack(.deflate, record) else { return .sleepUntilInterrupt }
            _ = try kernel.locked { () throws(KernelPanic) in try kernel.freeLeaving() }
            try finish(&balloon)
        case .movingIn:
            guard try isBack(.inflate, record) else { return .sleepUntilInterrupt }
            try letOldPageLeave(&balloon, record)
        case .movingOut:
            guard try isBack(.deflate, record) else { return .sleepUntilInterrupt }
            try kernel.locked { () throws(KernelPanic) in
                try kernel.freeLeaving()
                kernel.driverCounters.movedPages &+= 1
            }
            balloon.operation = .none
        case .lying:
            // It does not matter which of the two it was.
            let inflated = try isBack(.inflate, record)
            guard try isBack(.deflate, record) || inflated else { return .sleepUntilInterrupt }
            balloon.operation = .none
        }
        return .again
    }

    /// The device has acknowledged a batch. Tells the host the balloon's size.
    private func finish(_ balloon: inout BalloonRecord) throws(KernelPanic) {
        balloon.operation = .none
        try writeActual()
    }

    func writeActual() throws(KernelPanic) {
        let pages = try kernel.locked { kernel.balloonLists.pages.blocks }
        setConfiguration(BalloonConfiguration.actualPagesOffset, UInt32(clamping: pages))
    }

    private func beginOperation(_ balloon: inout BalloonRecord, _ record: inout DriverRecord, _ now: UInt64) throws(KernelPanic) -> Next {
        guard balloon.request == 0 else {
            // The whole balloon is emptied before the device is reset.
            return try deflate(KernelLayout.batchPages, &balloon, record) > 0 ? .again : .sleepUntilInterrupt
        }
        if behaviour == .muteBalloon { return .sleepUntilInterrupt }
        if try relieveShortage(&balloon, record) { return .again }
        if balloon.lie != 0 {
            try lie(&balloon, &record)
            return .again
        }
        var next = Next.sleepUntilInterrupt
        if balloon.follows != 0 {
            let pages = try kernel.locked { kernel.balloonLists.pages.blocks }
            let target = UInt64(balloon.target)
            if pages > target {
                let surplus = Int(clamping: pages - target)
                if try deflate(min(surplus, KernelLayout.batchPages), &balloon, record) > 0 { return .again }
            } else if pages == target {
                balloon.follows = 0
            } else if balloon.retryAt > now {
                // The clock may come from another host and lag behind the record. No wait may become longer for that.
                balloon.retryAt = min(balloon.retryAt, now &+ Self.retryNanoseconds)
                next = .sleep(until: balloon.retryAt)
            } else {
                return try inflate(Int(clamping: target - pages), &balloon, record, now)
            }
        }
        return next.or(try compact(&balloon, record, now))
    }

    // MARK: Inflate

    private func inflate(
        _ missing: Int,
        _ balloon: inout BalloonRecord,
        _ record: DriverRecord,
        _ now: UInt64
    ) throws(KernelPanic) -> Next {
        let wanted = min(missing, KernelLayout.batchPages)
        var random = SplitMix(state: balloon.random)
        let frames = try kernel.locked { () throws(KernelPanic) in
            let frames = try kernel.fillBalloon(wanted, inRuns: kernel.parameters.inflatesInRuns, random: &random)
            kernel.driverCounters.inflatedPages &+= UInt64(frames.count)
            if frames.count < wanted { kernel.driverCounters.outOfPuff &+= 1 }
            return frames
        }
        balloon.random = random.state
        if frames.count < wanted { balloon.retryAt = now &+ Self.retryNanoseconds }
        guard !frames.isEmpty else { return .again }
        try tell(.inflate, frames, record)
        balloon.operation = .inflating
        return .again
    }

    private func tell(_ queue: BalloonQueue, _ frames: [Int], _ record: DriverRecord) throws(KernelPanic) {
        var numbers: [UInt32] = []
        numbers.reserveCapacity(frames.count)
        for frame in frames {
            guard let number = pageNumber(frame) else {
                throw KernelPanic("the balloon took frame \(frame), which has no number of 32 bits")
            }
            numbers.append(number)
        }
        write(numbers, to: queue)
        try offer(queue, byteCount: frames.count * 4, record)
    }

    // MARK: Deflate

    /// - Returns: how many pages are being deflated.
    private func deflate(_ count: Int, _ balloon: inout BalloonRecord, _ record: DriverRecord) throws(KernelPanic) -> Int {
        let frames = try kernel.locked { () throws(KernelPanic) in
            let frames = try kernel.drainBalloon(count)
            kernel.driverCounters.deflatedPages &+= UInt64(frames.count)
            return frames
        }
        guard !frames.isEmpty else { return 0 }
        try tell(.deflate, frames, record)
        balloon.operation = .deflating
        return frames.count
    }

    /// If the guest is out of memory, takes some pages back, whatever the host's target is.
    /// - Returns: whether some pages are being deflated.
    private func relieveShortage(_ balloon: inout BalloonRecord, _ record: DriverRecord) throws(KernelPanic) -> Bool {
        let isShort = try kernel.locked {
            guard kernel.balloonSignals.isShort != 0 else { return false }
            kernel.balloonSignals.isShort = 0
            return true
        }
        guard isShort else { return false }
        let count = try deflate(KernelLayout.batchPages, &balloon, record)
        try kernel.locked { kernel.driverCounters.deflatedOnShortage &+= UInt64(count) }
        return count > 0
    }

    // MARK: Compaction

    /// Moves a page of the balloon, if it is time.
    private func compact(_ balloon: inout BalloonRecord, _ record: DriverRecord, _ now: UInt64) throws(KernelPanic) -> Next {
        guard let interval = kernel.parameters.moveInterval else { return .sleepUntilInterrupt }
        guard try kernel.locked({ kernel.balloonLists.pages.blocks > 0 }) else { return .sleepUntilInterrupt }
        guard balloon.moveAt <= now else {
            balloon.moveAt = min(balloon.moveAt, now &+ interval)
            return .sleep(until: balloon.moveAt)
        }
        balloon.moveAt = now &+ interval
        var random = SplitMix(state: balloon.random)
        let move = try kernel.locked { () throws(KernelPanic) -> (old: Int, new: Int)? in
            guard let old = try kernel.someBallooned(&random) else { return nil }
            guard let new = try kernel.fillBalloon(1, inRuns: false, random: &random).first else { return nil }
            return (old, new)
        }
        balloon.random = random.state
        guard let move else { return .sleep(until: balloon.moveAt) }
        try tell(.inflate, [move.new], record)
        balloon.movingFrame = UInt32(move.old)
        balloon.operation = .movingIn
        return .again
    }

    private func letOldPageLeave(_ balloon: inout BalloonRecord, _ record: DriverRecord) throws(KernelPanic) {
        guard let frame = try kernel.memory.frame(UInt64(balloon.movingFrame)) else { throw KernelPanic("the balloon moves no page") }
        try kernel.locked { () throws(KernelPanic) in try kernel.replaceBallooned(frame) }
        try tell(.deflate, [frame], record)
        balloon.operation = .movingOut
    }
}
