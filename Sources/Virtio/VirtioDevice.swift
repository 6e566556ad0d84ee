public import AerostatHost

/// A device behind a virtio transport.
///
/// The transport calls `activate`, `stop` and `reset` one at a time. Every other call may come from any thread at any time. A device may
/// hold its own lock while it calls `signals`, and must not call the transport otherwise.
///
/// A device may access the rings that `activate` gave it, and the guest memory that their chains name, until `stop` or `reset`. It writes
/// guest memory through the write door: after the data is complete, and before it gives the chain back (rules "every writer is tracked" and
/// "acknowledge after").
public protocol VirtioDevice: MachineDevice {
    /// The device type (specification, chapter 5).
    var deviceID: UInt32 { get }
    var offeredFeatures: VirtioFeatures { get }

    /// How the device notifies its driver. The same object for the device's whole life.
    var signals: VirtioSignals { get }

    /// The doorbells that kicks ring, by queue: at most as many as the device has queues, and the same objects for the device's whole life.
    /// One thread that serves several queues has one doorbell for them. A machine may have its kernel ring them.
    ///
    /// A ring says that the queue must be checked, not that it holds something: the transport also rings when the device is activated and
    /// when it is unparked.
    var doorbells: [Doorbell] { get }

    /// The largest size of each queue that exists with these features, by index; 0 for a queue that does not exist. All offered features
    /// together give the most queues.
    func queueSizes(negotiated: VirtioFeatures) -> [UInt16]

    /// Reads configuration space. Bytes outside it read as 0.
    /// - Parameter width: 1, 2, 4 or 8 bytes.
    func readConfiguration(offset: Int, width: Int) -> UInt64

    /// Writes configuration space. Writes to what the driver may not write are ignored.
    func writeConfiguration(offset: Int, width: Int, value: UInt64)

    /// The driver is ready, and the device may use the queues from now on. They may already hold chains; their doorbells ring.
    /// - Parameter queues: as many as `queueSizes` returns; `nil` for queues that the driver did not set up.
    func activate(_ features: VirtioFeatures, queues: [SplitVirtqueue?])

    /// The driver takes a queue back until the next reset. On return the device does not touch it.
    func stop(queue: Int)

    /// The position of each queue, to be saved, in the order of `activate`. Called only while the device is parked.
    var queuePositions: [VirtqueuePosition?] { get }
}
