public import AerostatGuestMemory
public import AerostatHost
public import AerostatMigration
public import AerostatVirtio

/// The device side of virtio-rng (specification 5.4): fills the buffers that the driver offers with the host's random bytes.
///
/// It has no feature of its own, no configuration and no state besides its ring. It writes only the writable segments of the chains on its
/// one queue, and that queue's used ring.
public final class EntropyDevice: VirtioDevice {
    /// VIRTIO_ID_ENTROPY
    public static let deviceID: UInt32 = 4
    public static let identity = DeviceIdentity(name: "virtio-rng", version: 1)
    /// What a machine must offer to receive a guest with this device.
    public static let requirement = DeviceSection(name: identity.name, version: identity.version, bytes: [])
    /// Descriptors in its ring, at most.
    public static let maximumQueueSize: UInt16 = 64

    let worker: DeviceWorker<EntropyState>
    public let signals: VirtioSignals
    public let doorbells: [Doorbell]

    /// Starts the device with its thread; it does nothing until a driver is ready.
    /// - Parameter interrupt: see `VirtioSignals`.
    /// - Throws: if the host offers no random bytes, or no thread can be started.
    public convenience init(_ memory: GuestRAM, interrupt: @escaping @Sendable (_ level: Bool) -> Void) throws(SystemError) {
        try HostEntropy.probe()
        try self.init(memory, source: HostEntropy.bytes, hasThread: true, interrupt: interrupt)
    }

    /// Makes a device with another source, and with or without its thread. A device without a thread works only when `serve` is called.
    /// - Parameter source: returns this many bytes; `nil` if it has none at the moment.
    package init(
        _ memory: GuestRAM,
        source: @escaping @Sendable (_ count: Int) -> [UInt8]?,
        hasThread: Bool,
        interrupt: @escaping @Sendable (_ level: Bool) -> Void
    ) throws(SystemError) {
        signals = VirtioSignals(interrupt: interrupt)
        let state = EntropyState(memory: memory, source: source, queues: DeviceQueues(signals))
        worker = try DeviceWorker(name: "entropy", hasThread: hasThread, state)
        doorbells = [worker.doorbell]
    }

    /// One step of the thread's work, for a device without a thread.
    /// - Returns: whether there may be more.
    package func serve() -> Bool { worker.serve() }

    /// Why the device is broken, until the driver resets it.
    public var fault: QueueFault? { worker.withState { $0.queues.fault } }

    // MARK: MachineDevice

    public var identity: DeviceIdentity { Self.identity }
    public var requirements: [DeviceSection] { [Self.requirement] }

    public func park() { worker.withState { $0.queues.isParked = true } }
    public func unpark() { worker.withState { $0.queues.isParked = false } }

    /// The saved state has no content: the section itself says that the device exists.
    public func saveState() -> [UInt8] {
        worker.withState { precondition($0.queues.isParked, "saving a device that is not parked") }
        return []
    }

    public func decodeState(_ bytes: [UInt8], version: UInt32) throws(DeviceStateError) -> DeviceRestoration {
        guard version == Self.identity.version else { throw .version(version) }
        guard bytes.isEmpty else { throw .trailing(byteCount: bytes.count) }
        return DeviceRestoration {}
    }

    public func reset() { worker.withState { $0.queues.reset() } }

    // MARK: VirtioDevice

    public var deviceID: UInt32 { Self.deviceID }
    public var offeredFeatures: VirtioFeatures { [.version1, .eventIndex, .indirectDescriptors] }
    public func queueSizes(negotiated: VirtioFeatures) -> [UInt16] { [Self.maximumQueueSize] }

    /// There is no configuration space.
    public func readConfiguration(offset: Int, width: Int) -> UInt64 { 0 }
    public func writeConfiguration(offset: Int, width: Int, value: UInt64) {}

    public func activate(_ features: VirtioFeatures, queues: [SplitVirtqueue?]) {
        worker.withState { $0.queues.activate(features, queues) }
    }

    public func stop(queue: Int) { worker.withState { $0.queues.stop(queue: queue) } }

    public var queuePositions: [VirtqueuePosition?] { worker.withState { $0.queues.positions } }
}
