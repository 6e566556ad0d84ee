/// The queues of a device, as its thread serves them, with the rules that are the same for every device. The device's lock guards this
/// value.
///
///     activate ----> nextChain: a chain, which is in work ----> giveBack
///                        ^        |                                |
///                        |        +--- stays in work: next step ---+
///                        +-----------------------------------------+
///
/// One chain is in work at a time. While the device is parked, no chain can be taken, not even the one in work.
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
        if inWork?.queue == queue { inWork = nil }
    }

    package mutating func reset() {
        let wasParked = isParked
        self = DeviceQueues(signals)
        isParked = wasParked
    }

    /// The positions of the queues. A chain in work counts as not popped, so whoever takes over handles it from its start.
    package var positions: [VirtqueuePosition?] {
        queues.enumerated().map { index, queue in
            guard var position = queue?.position else { return nil }
            if inWork?.queue == index { position.nextAvailable &-= 1 }
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
        queues[queue]?.push(head: chain.head, length: length)
        if queues[queue]?.needsInterrupt() == true { signals.usedBuffers() }
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
