public import AerostatGuestMemory

/// The three parts of a split virtqueue.
public enum VirtqueueArea: Hashable, Sendable, CustomStringConvertible {
    case descriptorTable
    /// Written by the driver: the available ring.
    case driverArea
    /// Written by the device: the used ring.
    case deviceArea

    /// In bytes (specification 2.7).
    public var alignment: UInt64 {
        switch self {
        case .descriptorTable: 16
        case .driverArea: 2
        case .deviceArea: 4
        }
    }

    public var description: String {
        switch self {
        case .descriptorTable: "descriptor table"
        case .driverArea: "available ring"
        case .deviceArea: "used ring"
        }
    }
}

/// Where a split virtqueue lies in guest RAM (specification 2.7).
///
///     descriptor table   16 N      {addr u64, len u32, flags u16, next u16} x N
///     available ring     6 + 2 N   {flags u16, idx u16, ring u16 x N, used_event u16}
///     used ring          6 + 8 N   {flags u16, idx u16, {id u32, len u32} x N, avail_event u16}
public struct VirtqueueLayout: Hashable, Sendable {
    /// The largest ring that the specification allows.
    public static let maximumSize: UInt16 = 32768

    /// The number of descriptors in the ring; a power of two.
    public let size: UInt16
    public let descriptorTable: GuestAddress
    public let driverArea: GuestAddress
    public let deviceArea: GuestAddress

    public init(size: UInt16, descriptorTable: GuestAddress, driverArea: GuestAddress, deviceArea: GuestAddress) {
        self.size = size
        self.descriptorTable = descriptorTable
        self.driverArea = driverArea
        self.deviceArea = deviceArea
    }

    /// Places the three areas one after the other, each aligned, from an address that is a multiple of 16.
    public init(size: UInt16, contiguousAt base: GuestAddress) {
        let driver = base.rawValue + UInt64(VirtqueueDescriptor.byteCount) * UInt64(size)
        let device = (driver + UInt64(Self.byteCount(.driverArea, size: size)) + 3) & ~3
        self.init(size: size, descriptorTable: base, driverArea: GuestAddress(driver), deviceArea: GuestAddress(device))
    }

    /// The number of bytes that `init(size:contiguousAt:)` occupies.
    public static func contiguousByteCount(size: UInt16) -> Int {
        let rings = (byteCount(.driverArea, size: size) + 3) & ~3 + byteCount(.deviceArea, size: size)
        return byteCount(.descriptorTable, size: size) + rings
    }

    /// The length of an area of a queue of that size, in bytes.
    public static func byteCount(_ area: VirtqueueArea, size: UInt16) -> Int {
        switch area {
        case .descriptorTable: VirtqueueDescriptor.byteCount * Int(size)
        case .driverArea: 6 + 2 * Int(size)
        case .deviceArea: 6 + 8 * Int(size)
        }
    }

    /// Refuses a ring that is not wholly in RAM, misaligned, or of an impossible size.
    public func check(in memory: GuestRAM, maximumSize: UInt16 = Self.maximumSize) throws(VirtqueueError) {
        guard size > 0, size & (size - 1) == 0, size <= maximumSize else { throw .size(UInt32(size), maximum: maximumSize) }
        let areas: [(VirtqueueArea, GuestAddress)] = [
            (.descriptorTable, descriptorTable), (.driverArea, driverArea), (.deviceArea, deviceArea),
        ]
        for (area, address) in areas {
            guard address.rawValue & (area.alignment - 1) == 0 else { throw .misaligned(area, address) }
            let count = Self.byteCount(area, size: size)
            guard memory.contains(address, byteCount: count) else { throw .notInRAM(area, address, byteCount: count) }
        }
    }
}

/// One entry of a descriptor table.
public struct VirtqueueDescriptor: Hashable, Sendable {
    /// The length of a descriptor in guest memory.
    public static let byteCount = 16

    /// VIRTQ_DESC_F_NEXT
    public static let next: UInt16 = 1
    /// VIRTQ_DESC_F_WRITE: the device may only write.
    public static let write: UInt16 = 2
    /// VIRTQ_DESC_F_INDIRECT
    public static let indirect: UInt16 = 4

    public var address: GuestAddress
    public var length: UInt32
    public var flags: UInt16
    public var next: UInt16

    public init(address: GuestAddress, length: UInt32, flags: UInt16, next: UInt16) {
        self.address = address
        self.length = length
        self.flags = flags
        self.next = next
    }
}

/// One buffer of a chain. Foreign data: it need not lie in RAM.
public struct VirtqueueSegment: Hashable, Sendable {
    public let address: GuestAddress
    /// In bytes, more than zero.
    public let length: UInt32
    /// Whether the device may write it. If not, the device reads it.
    public let isWritable: Bool

    public init(address: GuestAddress, length: UInt32, isWritable: Bool) {
        self.address = address
        self.length = length
        self.isWritable = isWritable
    }
}
