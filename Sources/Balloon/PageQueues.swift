import AerostatVirtio

// The queues on which the driver names pages by their numbers (specification 5.5.6). Every driver expects them, so they exist; but this
// device's target is 0, so a driver has nothing to say on them.

/// Pages that the guest gives to the host. They stay the guest's: the buffers are only returned.
struct InflateQueue: BalloonQueueHandler {
    mutating func serve(_ chain: DescriptorChain, isNew: Bool) -> UInt32? { 0 }
    mutating func stop() {}
    mutating func reset() {}
}

/// Pages that the guest takes back. The host has none of them: the buffers are only returned.
struct DeflateQueue: BalloonQueueHandler {
    mutating func serve(_ chain: DescriptorChain, isNew: Bool) -> UInt32? { 0 }
    mutating func stop() {}
    mutating func reset() {}
}
