public import AerostatMigration

/// Which device it is, and what its saved state looks like.
public struct DeviceIdentity: Hashable, Sendable {
    /// The name of its section in the machine's state: "virtio-balloon". Unique in a machine, and the same in every process.
    public let name: String
    /// Of the bytes in that section.
    public let version: UInt32

    public init(name: String, version: UInt32) {
        self.name = name
        self.version = version
    }
}

/// A part of a machine that is neither RAM nor a vCPU: what every device must be able to do so that its machine can stand and be moved.
///
/// A machine knows no more of its devices than this. There are no default implementations: a device that forgets one of these would lose
/// state in silence.
///
/// **Parked** means: the device writes no guest memory, no queue moves, and its own fields change only where the machine's owner asks for
/// it (a power button, the end of a hint command). What the guest said meanwhile stays where the guest put it. A device is parked behind
/// the vCPUs and let go before them; it is not told what came meanwhile, because its slot has every ring looked at again
/// (`DeviceSlot.unpark`).
public protocol MachineDevice: AnyObject, Sendable {
    var identity: DeviceIdentity { get }

    /// Brings the device to a stand: on return it is parked. Parking a parked device does nothing.
    /// Waits for the piece of work in hand and for no more, so pieces are short.
    func park()

    /// Lets the device work again.
    func unpark()

    /// The device's own fields, beside guest RAM and the registers of its transport. Only while it is parked.
    func saveState() -> [UInt8]

    /// Looks at fields that another process saved, and changes nothing yet.
    ///
    /// Only while the device is parked; RAM is in place already.
    /// - Parameters:
    ///   - bytes: foreign input.
    ///   - version: of the section that they came in.
    /// - Returns: what takes the fields over. It cannot fail, so a machine applies all that it has been sent or nothing.
    func decodeState(_ bytes: [UInt8], version: UInt32) throws(DeviceStateError) -> DeviceRestoration

    /// Back to how the device was before a guest knew it. On return it touches no queue. It stays parked if it was.
    func reset()

    /// What a destination must offer so that this device can arrive there: sections that a device there must name too. The same as long as
    /// the device lives.
    var requirements: [DeviceSection] { get }
}

/// Saved state that was found sound and waits to be taken over.
public struct DeviceRestoration {
    private let body: () -> Void

    public init(_ body: @escaping () -> Void) { self.body = body }

    /// Takes the state over.
    public func apply() { body() }
}
