#if BrokenEngines
    import AerostatHost
#endif

/// The queues of a device, as its thread serves them, with the rules that are the same for every device. The device's lock guards this
/// value.
///
///     activate ----> nextChain: a chain, which is in work ----> giveBack
///                        ^        |                                |
///                        |        +--- stays in work: next step ---+
///                        +-----------------------------------------+
///
/// One chain is in work at a time. A queue may hold one besides, which the device gives back when it wants something. While the device is
/// parked there is no chain to be had, not even the one that is in work.
package struct DeviceQueues: Sendable {
    /// What the thread has to do next.
    package enum Next: Sendable {
        /// A chain that was just popped, or the one that is still in work.
        case chain(DescriptorChain, queue: Int, isNew: Bool)
        /// There is no chain now, but one arrived during the check: check again.
        case arrived
        /// Nothing to do until the doorbell rings.
        case nothing
        /// A queue was just found to be broken. The driver has been told that the device needs a reset.
        case broken
    }

    private let signals: VirtioSignals
    /// True between DRIVER_OK and the next reset.
    package private(set) var isActive = false
    package private(set) var negotiated = VirtioFeatures()
    /// Why the device is broken, until the driver resets it.
    package private(set) var fault: QueueFault?
    package var isParked = false
    private var queues: [SplitVirtqueue?] = []
    private var inWork: (queue: Int, chain: DescriptorChain)?
    /// By queue, the head of the chain that it holds. It was popped before the one in work, and behind all that were given back.
    private var held: [Int: UInt16] = [:]
    /// The queue where the search starts. It rotates, so that no queue starves another.
    private var first = 0

    package init(_ signals: VirtioSignals) { self.signals = signals }

    // MARK: Called by the transport

    package mutating func activate(_ features: VirtioFeatures, _ queues: [SplitVirtqueue?]) {
        isActive = true
        negotiated = features
        self.queues = queues
    }

    /// Drops the chain in work if it belongs to this queue.
    package mutating func stop(queue: Int) {
        guard queues.indices.contains(queue) else { return }
        queues[queue] = nil
        held[queue] = nil
        if inWork?.queue == queue { inWork = nil }
    }

    package mutating func reset() {
        let wasParked = isParked
        self = DeviceQueues(signals)
        isParked = wasParked
    }

    /// Where the queues stand. A chain in work counts as not popped: whoever takes over handles it from its start. So does a chain that is
    /// held.
    package var positions: [VirtqueuePosition?] {
        queues.enumerated().map { index, queue in
            guard var position = queue?.position else { return nil }
            if inWork?.queue == index { position.nextAvailable &-= 1 }
            #if BrokenEngines
                if BrokenEngine.isActive(.forgetsStatisticsElement) { return position }
            #endif
            if held[index] != nil { position.nextAvailable &-= 1 }
            return position
        }
    }

    // MARK: Called by the thread

    /// The chain in work; or else the next one of any queue, which is then in work.
    package mutating func nextChain() -> Next {
        guard isActive, !isParked, fault == nil else { return .nothing }
        if let inWork { return .chain(inWork.chain, queue: inWork.queue, isNew: false) }
        var index = first
        do throws(VirtqueueError) {
            for offset in queues.indices {
                index = (first + offset) % queues.count
                guard let chain = try queues[index]?.pop() else { continue }
                queues[index]?.suppressKicks()
                first = (index + 1) % queues.count
                inWork = (index, chain)
                return .chain(chain, queue: index, isNew: true)
            }
        } catch {
            fail(QueueFault(queue: index, error: error))
            return .broken
        }
        var arrived = false
        for index in queues.indices where queues[index]?.enableKicks() == true { arrived = true }
        return arrived ? .arrived : .nothing
    }

    /// Gives the chain in work back.
    /// - Parameter length: how many bytes the device wrote into it, counted from its first writable byte.
    package mutating func giveBack(length: UInt32) {
        guard let (queue, chain) = inWork else { preconditionFailure("no chain is in work") }
        inWork = nil
        push(chain.head, to: queue, length)
    }

    private mutating func push(_ head: UInt16, to queue: Int, _ length: UInt32) {
        queues[queue]?.push(head: head, length: length)
        if queues[queue]?.needsInterrupt() == true { signals.usedBuffers() }
    }

    // MARK: Chains that are held

    /// The queue holds the chain in work from now on; the one that it held until now is given back.
    /// - Returns: whether there was one.
    package mutating func hold() -> Bool {
        guard let (queue, chain) = inWork else { preconditionFailure("no chain is in work") }
        let earlier = held[queue]
        inWork = nil
        held[queue] = chain.head
        if let earlier { push(earlier, to: queue, 0) }
        return earlier != nil
    }

    package func holdsChain(_ queue: Int) -> Bool { held[queue] != nil }

    /// Gives back the chain that a queue holds, with nothing written into it.
    package mutating func giveBackHeld(_ queue: Int) {
        precondition(!isParked, "a queue of a parked device stands")
        guard let head = held.removeValue(forKey: queue) else { preconditionFailure("no chain is held") }
        push(head, to: queue, 0)
    }

    /// Stops the device until the driver resets it.
    package mutating func fail(_ fault: QueueFault) {
        self.fault = fault
        signals.deviceNeedsReset()
    }

    /// Whether the driver has set a queue up and not taken it back.
    package func isLive(_ queue: Int) -> Bool { queues.indices.contains(queue) && queues[queue] != nil }

    /// The number of chains that wait on a queue and were not popped.
    package func waitingChains(on queue: Int) -> UInt16 { isLive(queue) ? queues[queue]?.waitingChains ?? 0 : 0 }
}
