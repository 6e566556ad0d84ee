public import GuestMemory
public import Host
import Migration
import Synchronization
public import Virtio

/// The device side of virtio-balloon (specification 5.5): configuration space and free-page hints.
///
/// Hints are served completely. The inflate and deflate queues exist, because every driver expects them, but their buffers are only returned:
/// this device never takes a page from the guest, and its target is 0. Statistics and free page reporting are not offered.
///
/// One thread of its own serves all queues. It sleeps on an eventfd that a kick rings.
public final class BalloonDevice: VirtioDevice {
    /// VIRTIO_ID_BALLOON
    public static let deviceID: UInt32 = 5

    let core: BalloonCore
    let options: BalloonOptions
    /// Rung by kicks. A machine may have its kernel ring it.
    package let bell: Doorbell
    private let thread: HostThread?
    private let stepCount: StepCount
    public let signals: VirtioSignals

    /// Starts the device with its thread; it does nothing until a driver is ready.
    /// - Parameter interrupt: see `VirtioSignals`.
    public convenience init(
        _ memory: GuestRAM,
        options: BalloonOptions = BalloonOptions(),
        interrupt: @escaping @Sendable (_ level: Bool) -> Void
    ) throws(SystemError) {
        try self.init(memory, options: options, hasThread: true, interrupt: interrupt)
    }

    /// The same with or without its thread; a device without one works when `serve` is called.
    package init(
        _ memory: GuestRAM,
        options: BalloonOptions,
        hasThread: Bool,
        interrupt: @escaping @Sendable (_ level: Bool) -> Void
    ) throws(SystemError) {
        let signals = VirtioSignals(interrupt: interrupt)
        let core = BalloonCore(BalloonState(memory: memory, signals: signals, options: options))
        let bell = try Doorbell()
        let stepCount = StepCount()
        self.options = options
        self.signals = signals
        self.core = core
        self.bell = bell
        self.stepCount = stepCount
        guard hasThread else {
            thread = nil
            return
        }
        // The thread holds what it needs and not the device, whose end ends it.
        thread = try HostThread(name: "balloon") {
            var step = BalloonState.Step.sleep
            while step != .exit {
                bell.wait()
                repeat {
                    stepCount.value.add(1, ordering: .relaxed)
                    step = core.step()
                    if step == .rest { HostThread.sleep(for: .milliseconds(1)) }
                } while step == .again || step == .rest
            }
        }
    }

    deinit {
        core.withState { $0.isShutDown = true }
        bell.ring()
        thread?.join()
    }

    private final class StepCount: Sendable {
        let value = Atomic<Int>(0)
    }

    /// How often the hint thread looked for work. Stands still while it sleeps.
    package var steps: Int { stepCount.value.load(ordering: .relaxed) }

    /// One piece of the hint thread's work, for a device that has none.
    /// - Returns: whether there may be more.
    package func serve() -> Bool {
        precondition(thread == nil, "the hint thread does this")
        let step = core.step()
        return step == .again || step == .rest
    }

    // MARK: Pausing

    /// Stops the hint thread's work: on return, and until `unpark`, it writes nothing to guest RAM and no queue moves.
    public func park() { core.withState { $0.isParked = true } }

    /// Lets the hint thread work, beginning with what came meanwhile.
    public func unpark() {
        core.withState { $0.isParked = false }
        bell.ring()
    }

    // MARK: What others may know

    /// Why the device is broken, until the driver resets it.
    public var fault: BalloonFault? { core.withState { $0.fault } }

    /// What the guest's free pages contain, repeated; `nil` where that was not negotiated.
    public var poison: UInt32? { core.withState { $0.negotiated.contains(.pagePoison) ? $0.poison : nil } }

    // MARK: VirtioDevice

    public var deviceID: UInt32 { Self.deviceID }
    public var offeredFeatures: VirtioFeatures { options.features }

    public func queueSizes(negotiated: VirtioFeatures) -> [UInt16] {
        queueOrder(negotiated).map { $0?.maximumSize ?? 0 }
    }

    private func queueOrder(_ negotiated: VirtioFeatures) -> [BalloonQueue?] {
        BalloonQueue.order(
            negotiated.intersection(options.features),
            specificationNumbers: options.usesSpecificationQueueNumbers
        )
    }

    public func activate(_ features: VirtioFeatures, queues: [SplitVirtqueue?]) {
        core.withState {
            $0.isActive = true
            $0.negotiated = features
            $0.queues = queues
            $0.roles = queueOrder(features)
        }
        bell.ring()
    }

    public func stop(queue: Int) { core.withState { $0.stop(queue: queue) } }

    public func reset() { core.withState { $0.reset() } }

    public func notify(queue: Int) { bell.ring() }

    public var queuePositions: [VirtqueuePosition?] { core.withState { $0.queuePositions } }

    public func readConfiguration(offset: Int, width: Int) -> UInt64 {
        let idBytes = BalloonConfiguration.commandIDOffset..<BalloonConfiguration.commandIDOffset + 4
        let bytes = core.withState { state in
            // From now on the driver can answer, and what it queued before is no answer.
            if state.isIDUnread, idBytes.overlaps(offset..<max(offset, offset + width)) {
                state.isIDUnread = false
                if state.sequencer.openID != nil { state.markOlderChains() }
                state.answerDone()
            }
            var writer = FieldBytes()
            writer.append(state.targetPages)
            writer.append(state.actualPages)
            writer.append(state.sequencer.shownID.rawValue)
            writer.append(state.poison)
            return writer.bytes
        }
        let end = min(BalloonConfiguration.byteCount(offered: options.features), offset + width)
        var value: UInt64 = 0
        for index in offset..<max(offset, end) { value |= UInt64(bytes[index]) << UInt64(8 * (index - offset)) }
        return value
    }

    /// Takes whole fields only, and only the two that are the driver's.
    public func writeConfiguration(offset: Int, width: Int, value: UInt64) {
        guard width == 4 else { return }
        core.withState {
            switch offset {
            case BalloonConfiguration.actualPagesOffset:
                $0.actualPages = UInt32(truncatingIfNeeded: value)
            case BalloonConfiguration.poisonOffset where options.offersPoison && !$0.isActive:
                $0.poison = UInt32(truncatingIfNeeded: value)
            default: break
            }
        }
    }
}
