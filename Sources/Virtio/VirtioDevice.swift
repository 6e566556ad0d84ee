public import AerostatHost

/// A device behind a virtio transport.
///
/// The transport calls `activate`, `stop` and `reset` one at a time; every other call may come from any thread at any time. A device may
/// hold its own lock while it calls `signals`, and must not call the transport otherwise.
///
/// What a device may touch: the rings that `activate` gave it, and the guest memory that their chains name, until `stop` or `reset`. It
/// writes guest memory through the write door, when what it writes is complete and before it gives the chain back (rules "every writer is
/// tracked" and "acknowledge after").
public protocol VirtioDevice: MachineDevice {
    /// The device type (specification, chapter 5).
    var deviceID: UInt32 { get }
    var offeredFeatures: VirtioFeatures { get }

    /// How the device reaches its driver; the same object for the device's whole life.
    var signals: VirtioSignals { get }

    /// What a kick rings, by queue: as many as the device has queues at most, the same objects for the device's whole life. One thread that
    /// serves several queues has one doorbell for them. A machine may have its kernel ring them.
    ///
    /// A ring says that the queue is to be looked at, not that something is there: the transport rings when the device is activated, and
    /// when it is let go again.
    var doorbells: [Doorbell] { get }

    /// The largest size of each queue that exists with these features, by index; 0 for one that does not. The most queues exist with all
    /// offered features.
    func queueSizes(negotiated: VirtioFeatures) -> [UInt16]

    /// Reads configuration space. Bytes outside it read as 0.
    /// - Parameter width: 1, 2, 4 or 8 bytes.
    func readConfiguration(offset: Int, width: Int) -> UInt64

    /// Writes configuration space. What the driver may not write is dropped.
    func writeConfiguration(offset: Int, width: Int, value: UInt64)

    /// The driver is ready: the device may use the queues from now on. They may hold chains already; their doorbells ring.
    /// - Parameter queues: as many as `queueSizes` says; `nil` for those that the driver did not set up.
    func activate(_ features: VirtioFeatures, queues: [SplitVirtqueue?])

    /// The driver takes a queue back, until the next reset. On return the device does not touch it.
    func stop(queue: Int)

    /// Where each queue stands, for saving: as `activate` got them, only while the device is parked.
    var queuePositions: [VirtqueuePosition?] { get }
}
