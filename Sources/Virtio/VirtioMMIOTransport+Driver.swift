import AerostatGuestMemory

// The register writes by which every driver sets a device up (specification 3.1.1 and 4.2.3), for drivers that run in this process.
extension VirtioMMIOTransport {
    package typealias Status = VirtioMMIO.Status

    /// Whether a device of this type is behind the registers.
    package func holds(deviceID: UInt32) -> Bool {
        read(.magicValue) == VirtioMMIO.magic && read(.version) == VirtioMMIO.version && read(.deviceID) == deviceID
    }

    /// Goes from reset to FEATURES_OK.
    /// - Returns: whether the device accepts the features.
    package func negotiate(_ features: VirtioFeatures) -> Bool {
        write(.status, 0)
        write(.status, Status.acknowledge)
        write(.status, Status.acknowledge | Status.driver)
        for half in 0..<UInt32(2) {
            write(.driverFeaturesSelect, half)
            write(.driverFeatures, word(features, half))
        }
        write(.status, Status.acknowledge | Status.driver | Status.featuresOK)
        return read(.status) & Status.featuresOK != 0
    }

    /// Tells the device where a queue is.
    package func setUp(queue: Int, _ layout: VirtqueueLayout) {
        write(.queueSelect, UInt32(queue))
        write(.queueSize, UInt32(layout.size))
        let areas: [(VirtioMMIO.Register, VirtioMMIO.Register, GuestAddress)] = [
            (.queueDescriptorLow, .queueDescriptorHigh, layout.descriptorTable),
            (.queueDriverLow, .queueDriverHigh, layout.driverArea),
            (.queueDeviceLow, .queueDeviceHigh, layout.deviceArea),
        ]
        for (low, high, address) in areas {
            write(low, UInt32(truncatingIfNeeded: address.rawValue))
            write(high, UInt32(truncatingIfNeeded: address.rawValue >> 32))
        }
        write(.queueReady, 1)
    }

    package func driverOK() { write(.status, read(.status) | Status.driverOK) }
}
