import AerostatBalloon
import AerostatGuestMemory
import AerostatVirtio

// Free page reporting (Linux: mm/page_reporting.c). Some time after memory became free, its large blocks are taken out of the allocator,
// 32 at a time, and reported to the host. They go back when it has answered. Linux spreads a pass over 16 delays. Here one pass covers all
// memory that is free when it begins.
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
            // Memory that becomes free from now on is left to the next pass, unless this one finds it.
            kernel.balloonSignals.mustReport = 0
            return kernel.reportableBlocks / UInt64(Self.reportBlocks) + 1
        }
        return .again
    }

    private func report(_ balloon: inout BalloonRecord, _ record: DriverRecord) throws(KernelPanic) -> Next {
        // Leaves room for the false blocks.
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
