import AerostatBalloon
import AerostatGuestMemory
import AerostatVirtio

// Free page reporting (Linux: mm/page_reporting.c): some time after memory became free, its large blocks are taken out of the allocator, 32
// at a time, the host is told, and they come back when it has answered. Linux spreads that over 16 delays; here one pass is made for all
// that is free when it begins.
extension BalloonDriver {
    func advanceReporting(_ balloon: inout BalloonRecord, _ record: DriverRecord, _ now: UInt64) throws(KernelPanic) -> Next {
        guard let delay = kernel.parameters.reportingDelay, VirtioFeatures(rawValue: record.features).contains(.reporting) else {
            return .sleepUntilInterrupt
        }
        if balloon.reportIsOut != 0 {
            guard try isBack(.reporting, record) else { return .sleepUntilInterrupt }
            try kernel.locked { () throws(KernelPanic) in
                let reported = kernel.balloonLists.isolated
                kernel.driverCounters.reportedBlocks &+= reported.blocks
                kernel.driverCounters.reportedPages &+= reported.pages
                try kernel.returnIsolated(areReported: true)
            }
            balloon.reportIsOut = 0
            return .again
        }
        guard balloon.request == 0 else { return .sleepUntilInterrupt }
        if balloon.reportBudget > 0 { return try report(&balloon, record) }
        if balloon.reportAt == 0 {
            guard try kernel.locked({ kernel.balloonSignals.mustReport != 0 }) else { return .sleepUntilInterrupt }
            balloon.reportAt = now &+ delay
        }
        guard balloon.reportAt <= now else {
            balloon.reportAt = min(balloon.reportAt, now &+ delay)
            return .sleep(until: balloon.reportAt)
        }
        balloon.reportAt = 0
        balloon.reportBudget = try kernel.locked {
            // What becomes free from now on is for the next pass, if it is not seen in this one.
            kernel.balloonSignals.mustReport = 0
            return kernel.reportableBlocks / UInt64(Self.reportBlocks) + 1
        }
        return .again
    }

    private func report(_ balloon: inout BalloonRecord, _ record: DriverRecord) throws(KernelPanic) -> Next {
        // Lies need room, too.
        let most = behaviour == .falseReports ? Self.reportBlocks / 4 : Self.reportBlocks
        let blocks = try kernel.locked { () throws(KernelPanic) in try kernel.isolate(atMost: most) }
        guard !blocks.isEmpty else {
            balloon.reportBudget = 0
            return .again
        }
        balloon.reportBudget -= 1
        if balloon.reportBudget == 0, blocks.count == most {
            try kernel.locked { kernel.balloonSignals.mustReport = 1 }
        }
        let segments = blocks.map { frame, order in
            VirtqueueSegment(
                address: kernel.physicalAddress(frame << GuestPage.shift),
                length: UInt32(GuestPage.size << order),
                isWritable: true
            )
        }
        try offer(.reporting, behaviour == .falseReports ? falseReports(beside: segments) : segments, record)
        balloon.reportIsOut = 1
        return .again
    }
}
