import AerostatGuestMemory
import AerostatHost
import Synchronization

// The state of a transport that travels: registers, interrupts, and each queue's position. The rings themselves are in guest RAM.
extension VirtioMMIOTransport {
    /// The version that `saveState` writes and `restoreState` reads.
    public static let stateVersion: UInt32 = 1

    /// The most queues of a device whose state is read.
    static let maximumQueueCount: UInt16 = 1024

    /// Everything that another process needs, besides guest RAM and the device's own fields. Call only while the vCPUs are stopped and the
    /// device is parked.
    public func saveState() -> [UInt8] {
        registers.withLock { registers in
            let signals = device.signals.snapshot
            let positions = device.queuePositions
            var writer = FieldBytes()
            writer.append(device.deviceID)
            writer.append(registers.deviceFeaturesSelect)
            writer.append(registers.driverFeaturesSelect)
            writer.append(registers.driverFeatures.rawValue)
            writer.append(registers.queueSelect)
            writer.append(registers.status)
            writer.append(signals.pending)
            writer.append(signals.generation)
            writer.append(signals.needsReset)
            writer.append(UInt16(registers.queues.count))
            for (index, queue) in registers.queues.enumerated() {
                writer.append(queue.size)
                writer.append(queue.isReady)
                writer.append(queue.descriptorTable)
                writer.append(queue.driverArea)
                writer.append(queue.deviceArea)
                writer.append(index < positions.count ? positions[index] : nil)
            }
            return writer.bytes
        }
    }

    /// Checks what another process saved, and changes nothing yet. RAM must already be in place and the device parked.
    /// - Parameter bytes: foreign input.
    /// - Returns: what resets the device, and activates it if the driver had.
    public func decodeState(_ bytes: [UInt8], version: UInt32) throws(DeviceStateError) -> DeviceRestoration {
        let (restored, signals, positions) = try decode(bytes, version: version)
        let isLive = restored.status & VirtioMMIO.Status.driverOK != 0
        var queues: [SplitVirtqueue?] = []
        // A broken device is not activated again: it waits for its reset.
        if isLive, !signals.needsReset {
            do throws(QueueFault) {
                queues = try makeQueues(restored, positions: positions)
            } catch {
                throw .queue(index: error.queue, error.error)
            }
        }
        return DeviceRestoration { [queues] in
            self.registers.withLock { registers in
                self.device.reset()
                registers = restored
                self.device.signals.restore(signals)
                if isLive, !signals.needsReset { self.device.activate(restored.driverFeatures, queues: queues) }
            }
        }
    }

    private func decode(
        _ bytes: [UInt8],
        version: UInt32
    ) throws(DeviceStateError) -> (Registers, VirtioSignals.State, [VirtqueuePosition?]) {
        guard version == Self.stateVersion else { throw .version(version) }
        var reader = StateReader(bytes)
        let deviceID: UInt32 = try reader.take("device id")
        guard deviceID == device.deviceID else { throw .value(field: "device id", UInt64(deviceID)) }
        var restored = Registers(queues: [])
        restored.deviceFeaturesSelect = try reader.take("device feature selector")
        restored.driverFeaturesSelect = try reader.take("driver feature selector")
        restored.driverFeatures = VirtioFeatures(rawValue: try reader.take("driver features"))
        restored.queueSelect = try reader.take("queue selector")
        restored.status = try reader.take("status")
        try check(restored)
        var signals = VirtioSignals.State()
        signals.pending = try reader.take("interrupt status")
        guard signals.pending <= VirtioMMIO.Interrupt.usedBuffer | VirtioMMIO.Interrupt.configurationChange else {
            throw .value(field: "interrupt status", UInt64(signals.pending))
        }
        signals.generation = try reader.take("configuration generation")
        signals.needsReset = try reader.takeFlag("needs-reset flag")
        signals.isLive = restored.status & VirtioMMIO.Status.driverOK != 0
        let count: UInt16 = try reader.take("queue count")
        // A device of another version may have more queues, or fewer. Those that a driver can have set up, both have: what it accepted is
        // offered here.
        guard count <= Self.maximumQueueCount else { throw .value(field: "queue count", UInt64(count)) }
        let expected = device.queueSizes(negotiated: device.offeredFeatures).count
        var positions: [VirtqueuePosition?] = []
        for index in 0..<Int(count) {
            var queue = QueueRegisters()
            queue.size = try reader.take("queue size")
            queue.isReady = try reader.takeFlag("queue ready")
            queue.descriptorTable = try reader.take("descriptor table")
            queue.driverArea = try reader.take("driver area")
            queue.deviceArea = try reader.take("device area")
            let position = try reader.takePosition()
            guard index < expected else {
                guard !queue.isReady else { throw .value(field: "queue count", UInt64(count)) }
                continue
            }
            restored.queues.append(queue)
            positions.append(position)
        }
        try reader.finish()
        while restored.queues.count < expected { restored.queues.append(QueueRegisters()) }
        return (restored, signals, positions)
    }

    /// Refuses a status that no sequence of writes can produce.
    private func check(_ restored: Registers) throws(DeviceStateError) {
        typealias Status = VirtioMMIO.Status
        let status = restored.status
        let known = Status.acknowledge | Status.driver | Status.featuresOK | Status.driverOK | Status.failed
        let steps = [Status.acknowledge | Status.driver, Status.featuresOK, Status.driverOK]
        let isOrdered = (status & steps[2] == 0 || status & steps[1] != 0) && (status & steps[1] == 0 || status & steps[0] == steps[0])
        guard status & ~known == 0, isOrdered else { throw .value(field: "status", UInt64(status)) }
        if status & Status.featuresOK != 0, !isAcceptable(restored.driverFeatures) {
            throw .value(field: "driver features", restored.driverFeatures.rawValue)
        }
    }
}
