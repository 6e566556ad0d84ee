/// Registers and bits of virtio over MMIO, version 2 (specification 4.2.2). All registers are 32 bits, little-endian, aligned.
public enum VirtioMMIO {
    /// "virt"
    public static let magic: UInt32 = 0x7472_6976
    /// VIRTIO_MMIO_VERSION of non-legacy devices.
    public static let version: UInt32 = 2
    /// How much address space the device occupies, including configuration space.
    public static let byteCount: UInt64 = 0x1000
    /// Where configuration space begins.
    public static let configurationOffset: UInt64 = 0x100

    /// The registers by their offsets (virtio specification 4.2.2).
    public enum Register: UInt64, CaseIterable, Sendable {
        case magicValue = 0x000
        case version = 0x004
        case deviceID = 0x008
        case vendorID = 0x00C
        case deviceFeatures = 0x010
        case deviceFeaturesSelect = 0x014
        case driverFeatures = 0x020
        case driverFeaturesSelect = 0x024
        case queueSelect = 0x030
        case queueSizeMaximum = 0x034
        case queueSize = 0x038
        case queueReady = 0x044
        case queueNotify = 0x050
        case interruptStatus = 0x060
        case interruptAcknowledge = 0x064
        case status = 0x070
        case queueDescriptorLow = 0x080
        case queueDescriptorHigh = 0x084
        case queueDriverLow = 0x090
        case queueDriverHigh = 0x094
        case queueDeviceLow = 0x0A0
        case queueDeviceHigh = 0x0A4
        case sharedMemorySelect = 0x0AC
        case sharedMemoryLengthLow = 0x0B0
        case sharedMemoryLengthHigh = 0x0B4
        case sharedMemoryBaseLow = 0x0B8
        case sharedMemoryBaseHigh = 0x0BC
        case configurationGeneration = 0x0FC
    }

    /// Bits of the status register (specification 2.1).
    public enum Status {
        /// The driver has noticed the device.
        public static let acknowledge: UInt32 = 1
        /// The driver knows how to drive it.
        public static let driver: UInt32 = 2
        /// The driver is set up, and the device is live.
        public static let driverOK: UInt32 = 4
        /// The features are negotiated.
        public static let featuresOK: UInt32 = 8
        /// The device can continue only after a reset.
        public static let needsReset: UInt32 = 64
        /// The driver has given the device up.
        public static let failed: UInt32 = 128
    }

    /// Bits of the interrupt status register.
    public enum Interrupt {
        /// The device has used a buffer.
        public static let usedBuffer: UInt32 = 1
        /// The configuration space has changed.
        public static let configurationChange: UInt32 = 2
    }
}
