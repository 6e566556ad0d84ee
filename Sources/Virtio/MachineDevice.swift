public import AerostatMigration

/// Names a device, and the version of its saved state.
public struct DeviceIdentity: Hashable, Sendable {
    /// The name of its section in the machine's state: "virtio-balloon". Unique in a machine, and the same in every process.
    public let name: String
    /// The version of the bytes in that section.
    public let version: UInt32

    public init(name: String, version: UInt32) {
        self.name = name
        self.version = version
    }
}

/// A part of a machine that is neither RAM nor a vCPU. This is what every device must be able to do, so that its machine can be paused and
/// moved.
///
/// A machine knows nothing else about its devices. There are no default implementations, because a device that forgets one of these would
/// silently lose state.
///
/// **Parked** means: the device writes no guest memory and gives none back, no queue moves, and its own fields change only if the machine's
/// owner asks for it (a power button, the end of a hint command). What the guest says in the meantime stays where the guest put it. A
/// device is parked after the vCPUs and unparked before them. It is not told what arrived in the meantime, because its slot has every ring
/// checked again (`DeviceSlot.unpark`).
public protocol MachineDevice: AnyObject, Sendable {
    var identity: DeviceIdentity { get }

    /// Stops the device: on return it is parked. Parking a parked device does nothing. Waits only for the step in progress, so steps must
    /// be short.
    func park()

    /// Lets the device work again.
    func unpark()

    /// The device's own fields, besides guest RAM and the registers of its transport. Called only while it is parked.
    func saveState() -> [UInt8]

    /// Checks fields that another process saved, and changes nothing yet.
    ///
    /// Called only while the device is parked. RAM is already in place.
    /// - Parameters:
    ///   - bytes: foreign input.
    ///   - version: the version of their section.
    /// - Returns: what applies the fields. Applying cannot fail, so a machine applies everything that it was sent or nothing.
    func decodeState(_ bytes: [UInt8], version: UInt32) throws(DeviceStateError) -> DeviceRestoration

    /// Returns the device to its initial state. On return it touches no queue. It stays parked if it was.
    func reset()

    /// What a destination must offer so that this device can arrive there. A device there must name the same sections. Constant for the
    /// lifetime of the device.
    var requirements: [DeviceSection] { get }
}

/// Saved state that was found valid and waits to be applied.
public struct DeviceRestoration {
    private let body: () -> Void

    public init(_ body: @escaping () -> Void) { self.body = body }

    /// Applies the state.
    public func apply() { body() }
}
