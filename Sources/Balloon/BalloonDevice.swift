public import AerostatGuestMemory
public import AerostatHost
import AerostatMigration
public import AerostatVirtio

/// The device side of virtio-balloon (specification 5.5): the balloon, statistics, free-page hints, reports of free pages, and its
/// configuration.
///
/// One thread of the device serves all queues. It sleeps on an eventfd that a kick signals.
public final class BalloonDevice: VirtioDevice {
    /// VIRTIO_ID_BALLOON
    public static let deviceID: UInt32 = 5

    let worker: DeviceWorker<BalloonState>
    let options: BalloonOptions
    let memory: GuestRAM
    /// The pages in the balloon.
    let pages: PageSet
    public let signals: VirtioSignals
    public let doorbells: [Doorbell]

    /// Starts the device and its thread. The device does nothing until a driver is ready.
    /// - Parameter interrupt: see `VirtioSignals`.
    public convenience init(
        _ memory: GuestRAM,
        options: BalloonOptions = BalloonOptions(),
        interrupt: @escaping @Sendable (_ level: Bool) -> Void
    ) throws(SystemError) {
        try self.init(memory, options: options, clock: .host, hasThread: true, interrupt: interrupt)
    }

    /// The same, with or without a thread. A device without one works only when `serve` is called.
    /// - Parameter clock: may differ from the host's only if the device has no thread.
    package init(
        _ memory: GuestRAM,
        options: BalloonOptions,
        clock: BalloonClock = .host,
        hasThread: Bool,
        interrupt: @escaping @Sendable (_ level: Bool) -> Void
    ) throws(SystemError) {
        let signals = VirtioSignals(interrupt: interrupt)
        pages = try PageSet(pageCount: memory.pageCount)
        let state = BalloonState(signals: signals, options: options, memory: memory, ballooned: pages, clock: clock)
        worker = try DeviceWorker(name: "balloon", hasThread: hasThread, state)
        self.options = options
        self.memory = memory
        self.signals = signals
        doorbells = Array(repeating: worker.doorbell, count: Self.queueOrder(options.features, options).count)
    }

    /// How often the hint thread has looked for work. It does not change while the thread sleeps.
    package var steps: Int { worker.steps }

    /// Does one piece of the hint thread's work, for a device without a thread.
    /// - Returns: whether there may be more.
    package func serve() -> Bool { worker.serve() }

    // MARK: What others may know

    /// Why the device is broken, until the driver resets it.
    public var fault: QueueFault? { worker.withState { $0.queues.fault } }

    /// The word that fills the guest's free pages; `nil` if none was negotiated.
    public var poison: UInt32? { worker.withState { $0.account.poison } }

    // MARK: VirtioDevice

    public var deviceID: UInt32 { Self.deviceID }
    public var offeredFeatures: VirtioFeatures { options.features }

    public func queueSizes(negotiated: VirtioFeatures) -> [UInt16] {
        Self.queueOrder(negotiated, options).map { $0?.maximumSize ?? 0 }
    }

    private static func queueOrder(_ negotiated: VirtioFeatures, _ options: BalloonOptions) -> [BalloonQueue?] {
        BalloonQueue.order(
            negotiated.intersection(options.features),
            specificationNumbers: options.usesSpecificationQueueNumbers
        )
    }

    public func activate(_ features: VirtioFeatures, queues: [SplitVirtqueue?]) {
        worker.withState { $0.activate(features, queues, roles: Self.queueOrder(features, options)) }
    }

    public func stop(queue: Int) { worker.withState { $0.stop(queue: queue) } }

    public func reset() { worker.withState { $0.reset() } }

    public var queuePositions: [VirtqueuePosition?] { worker.withState { $0.queues.positions } }

    public func readConfiguration(offset: Int, width: Int) -> UInt64 {
        let idBytes = BalloonConfiguration.commandIDOffset..<BalloonConfiguration.commandIDOffset + 4
        let bytes = worker.withState { state in
            if idBytes.overlaps(offset..<max(offset, offset + width)) { state.hints.wordWasRead(waiting: state.waitingHintChains) }
            var writer = FieldBytes()
            writer.append(state.targetPages)
            writer.append(state.actualPages)
            writer.append(state.hints.sequencer.shownID.rawValue)
            writer.append(state.poison)
            return writer.bytes
        }
        let end = min(BalloonConfiguration.byteCount(offered: options.features), offset + width)
        var value: UInt64 = 0
        for index in offset..<max(offset, end) { value |= UInt64(bytes[index]) << UInt64(8 * (index - offset)) }
        return value
    }

    /// Accepts writes of whole fields only, and only to the driver's two fields. All other writes are counted as refused.
    public func writeConfiguration(offset: Int, width: Int, value: UInt64) {
        let value = UInt32(truncatingIfNeeded: value)
        let changed: (@Sendable () -> Void)? = worker.withState { state in
            switch (width, offset) {
            case (4, BalloonConfiguration.actualPagesOffset):
                guard state.actualPages != value else { return nil }
                state.actualPages = value
                return state.actualChanged
            case (4, BalloonConfiguration.poisonOffset) where options.offersPoison && !state.queues.isActive:
                state.poison = value
                state.account.promisedPoison = value
            default: state.account.counters.refusedWrites += 1
            }
            return nil
        }
        changed?()
    }
}
