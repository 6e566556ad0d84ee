/// A device behind a transport.
///
/// The transport calls `activate` and `reset` one at a time; every other call may come from any thread at any time. A device may hold
/// its own lock while it calls `signals`, and must not call the transport otherwise.
public protocol VirtioDevice: AnyObject, Sendable {
    /// The device type (specification, chapter 5).
    var deviceID: UInt32 { get }
    var offeredFeatures: VirtioFeatures { get }

    /// How the device reaches its driver; the same object for the device's whole life.
    var signals: VirtioSignals { get }

    /// The largest size of each queue that exists with these features, by index; 0 for one that does not. The most queues exist with all
    /// offered features.
    func queueSizes(negotiated: VirtioFeatures) -> [UInt16]

    /// Reads configuration space. Bytes outside it read as 0.
    /// - Parameter width: 1, 2, 4 or 8 bytes.
    func readConfiguration(offset: Int, width: Int) -> UInt64

    /// Writes configuration space. What the driver may not write is dropped.
    func writeConfiguration(offset: Int, width: Int, value: UInt64)

    /// The driver is ready: the device may use the queues from now on. They may hold chains already.
    /// - Parameter queues: as many as `queueSizes` says; `nil` for those that the driver did not set up.
    func activate(_ features: VirtioFeatures, queues: [SplitVirtqueue?])

    /// The driver takes a queue back, until the next reset. On return the device does not touch it.
    func stop(queue: Int)

    /// Back to the beginning. On return the device touches no queue.
    func reset()

    /// The driver kicked a queue, which need not exist.
    func notify(queue: Int)

    /// Where each queue stands, for saving: as `activate` got them, only while the device is parked.
    var queuePositions: [VirtqueuePosition?] { get }
}
