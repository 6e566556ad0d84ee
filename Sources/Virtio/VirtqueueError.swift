public import AerostatGuestMemory

/// A violation of the specification by a virtqueue's driver. The queue is broken until the device is reset.
public enum VirtqueueError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The ring's size is not a power of two from 1 to 32768, or above what the device offers.
    case size(UInt32, maximum: UInt16)
    case misaligned(VirtqueueArea, GuestAddress)
    case notInRAM(VirtqueueArea, GuestAddress, byteCount: Int)
    /// More new entries than the ring holds.
    case availableIndexJump(available: UInt16, next: UInt16, size: UInt16)
    case headOutOfRange(head: UInt16, size: UInt16)
    case nextOutOfRange(next: UInt16, limit: UInt32, head: UInt16)
    case loop(head: UInt16)
    case zeroLength(head: UInt16, descriptor: UInt32)
    /// A device-readable descriptor after a device-writable one.
    case readableAfterWritable(head: UInt16, descriptor: UInt32)
    case tooManySegments(head: UInt16, maximum: UInt16)
    /// An indirect table that is empty or does not hold whole descriptors.
    case indirectLength(head: UInt16, byteCount: UInt32)
    case indirectTableNotInRAM(head: UInt16, GuestAddress, byteCount: UInt32)
    /// An indirect descriptor inside an indirect table, or with NEXT, or without the feature.
    case indirectNotAllowed(head: UInt16, descriptor: UInt32)
    /// The device returned something that the driver does not have outstanding (driver side).
    case notOutstanding(id: UInt32)

    public var description: String {
        switch self {
        case .size(let size, let maximum): "ring size \(size) is not a power of two up to \(maximum)"
        case .misaligned(let area, let address): "the \(area) at \(address) is not aligned to \(area.alignment)"
        case .notInRAM(let area, let address, let count): "the \(area) at \(address) with \(count) bytes is not in RAM"
        case .availableIndexJump(let available, let next, let size):
            "available index \(available) is more than \(size) entries ahead of \(next)"
        case .headOutOfRange(let head, let size): "head \(head) in a ring of \(size) descriptors"
        case .nextOutOfRange(let next, let limit, let head): "chain \(head) goes on at \(next) in a table of \(limit) descriptors"
        case .loop(let head): "chain \(head) is a loop"
        case .zeroLength(let head, let descriptor): "chain \(head), descriptor \(descriptor): length 0"
        case .readableAfterWritable(let head, let descriptor): "chain \(head), descriptor \(descriptor): readable after a writable one"
        case .tooManySegments(let head, let maximum): "chain \(head) has more than \(maximum) segments"
        case .indirectLength(let head, let count): "chain \(head): an indirect table of \(count) bytes"
        case .indirectTableNotInRAM(let head, let address, let count):
            "chain \(head): the indirect table at \(address) with \(count) bytes is not in RAM"
        case .indirectNotAllowed(let head, let descriptor): "chain \(head), descriptor \(descriptor): an indirect table is not allowed here"
        case .notOutstanding(let id): "the device returned chain \(id), which it was not given"
        }
    }
}

/// A queue that the driver set up wrongly or broke. The device waits for its reset.
public struct QueueFault: Error, Hashable, Sendable, CustomStringConvertible {
    public let queue: Int
    public let error: VirtqueueError

    public init(queue: Int, error: VirtqueueError) {
        self.queue = queue
        self.error = error
    }

    public var description: String { "queue \(queue): \(error)" }
}
