/// Feature bits (virtio specification, chapter 6). Bits 0 to 23 belong to the device type; its module names them.
public struct VirtioFeatures: OptionSet, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// VIRTIO_F_INDIRECT_DESC
    public static let indirectDescriptors = VirtioFeatures(rawValue: 1 << 28)
    /// VIRTIO_F_EVENT_IDX
    public static let eventIndex = VirtioFeatures(rawValue: 1 << 29)
    /// VIRTIO_F_VERSION_1: without it a driver is a legacy driver, which this transport refuses.
    public static let version1 = VirtioFeatures(rawValue: 1 << 32)

    public var description: String { "0x" + String(rawValue, radix: 16) }
}
