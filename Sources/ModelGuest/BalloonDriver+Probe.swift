import AerostatBalloon
import AerostatGuestMemory
import AerostatVirtio

extension BalloonDriver {
    /// Finds the device, negotiates, and sets up the queues. It waits for no other thread.
    /// - Parameters:
    ///   - now: the time on the guest's clock.
    ///   - wakes: the guest was suspended. Then the features stay the same, and the poison is not written again, as in Linux.
    func probe(now: UInt64, wakes: Bool = false) throws(KernelPanic) {
        let old = kernel.driverRecord
        var record = DriverRecord(keeping: old)
        defer { kernel.driverRecord = record }
        record.phase = .gone
        let random = kernel.balloonRecord.random
        kernel.balloonRecord = BalloonRecord()
        try kernel.locked { kernel.balloonSignals = BalloonSignals(request: kernel.balloonSignals.request) }
        guard transport.holds(deviceID: BalloonDevice.deviceID) else { return }
        let features = wakes ? VirtioFeatures(rawValue: old.features) : wantedFeatures()
        guard transport.negotiate(features), let balloon = setUpQueues(&record, features, now, random) else {
            transport.write(.status, VirtioMMIO.Status.failed)
            return
        }
        record.features = features.rawValue
        kernel.balloonRecord = balloon
        if let poison = kernel.parameters.poison, features.contains(.pagePoison), !wakes {
            setConfiguration(BalloonConfiguration.poisonOffset, poison)
        }
        // Queued before DRIVER_OK, as in Linux.
        if features.contains(.statistics), behaviour != .muteBalloon {
            try sendStatistics(record)
            kernel.balloonRecord.statisticsAreOut = 1
        }
        transport.driverOK()
        record.phase = .live
        // The configuration must be read: a migration or a target may be older than the driver.
        record.mustReadID = 1
        try kernel.locked {
            var signals = kernel.balloonSignals
            // Memory that is already free is reported too.
            (signals.reports, signals.mustReport) = features.contains(.reporting) ? (1, 1) : (0, 0)
            signals.deflatesOnShortage = features.contains(.deflateOnOOM) ? 1 : 0
            kernel.balloonSignals = signals
        }
    }

    private func setUpQueues(
        _ record: inout DriverRecord,
        _ features: VirtioFeatures,
        _ now: UInt64,
        _ random: UInt64
    ) -> BalloonRecord? {
        var balloon = BalloonRecord()
        balloon.random = random != 0 ? random : PageContent.mix(kernel.parameters.seed ^ 0xBA11_0047)
        for queue in BalloonQueue.allCases where features.isSuperset(of: queue.feature) {
            guard let size = setUp(queue, features) else { return nil }
            switch queue {
            case .inflate: balloon.ringSizes.0 = size
            case .deflate: balloon.ringSizes.1 = size
            case .statistics: balloon.ringSizes.2 = size
            case .freePageHint: record.ringSize = UInt32(size)
            case .reporting: balloon.ringSizes.3 = size
            }
        }
        balloon.moveAt = now &+ (kernel.parameters.moveInterval ?? 0)
        balloon.disturbAt = now &+ (kernel.parameters.disturbanceInterval ?? 0)
        return balloon
    }

    /// The features that both sides have. A guest that fills freed memory tells the device the value; if it cannot, it does not report
    /// free pages.
    private func wantedFeatures() -> VirtioFeatures {
        let offered = offeredFeatures()
        var wanted: VirtioFeatures = [
            .version1, .eventIndex, .mustTellHost, .statistics, .deflateOnOOM, .freePageHint,
        ]
        if kernel.parameters.poison != nil { wanted.insert(.pagePoison) }
        if kernel.parameters.reportingDelay != nil, kernel.parameters.poison == nil || offered.contains(.pagePoison) {
            wanted.insert(.reporting)
        }
        return offered.intersection(wanted)
    }

    private func offeredFeatures() -> VirtioFeatures {
        var bits: UInt64 = 0
        for half in 0..<UInt32(2) {
            transport.write(.deviceFeaturesSelect, half)
            bits |= UInt64(transport.read(.deviceFeatures)) << (32 * UInt64(half))
        }
        return VirtioFeatures(rawValue: bits)
    }
}
