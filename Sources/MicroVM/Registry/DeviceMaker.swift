import AerostatBalloon
import AerostatEntropy
public import AerostatGuestMemory
public import AerostatHost
public import AerostatVirtio

/// A kind of virtio device that a machine can have, and how to make one.
public struct DeviceMaker: Sendable {
    /// The name in the device's identity. A guest that moves in asks for the device by it.
    public let name: String
    let make: @Sendable (GuestRAM, _ interrupt: @escaping @Sendable (_ level: Bool) -> Void) throws(SystemError) -> any VirtioDevice

    /// - Parameter make: receives the guest's memory and the function that raises the device's interrupt (see `VirtioSignals`).
    public init(
        name: String,
        make:
            @escaping @Sendable (GuestRAM, _ interrupt: @escaping @Sendable (_ level: Bool) -> Void) throws(SystemError) -> any VirtioDevice
    ) {
        self.name = name
        self.make = make
    }

    /// Makes the balloon.
    public static let balloon = DeviceMaker(name: BalloonDevice.identity.name) { (memory, interrupt) throws(SystemError) in
        try BalloonDevice(memory, interrupt: interrupt)
    }

    /// Makes the source of random numbers (virtio-rng).
    public static let entropy = DeviceMaker(name: EntropyDevice.identity.name) { (memory, interrupt) throws(SystemError) in
        try EntropyDevice(memory, interrupt: interrupt)
    }

    /// The devices of a machine by default, and the devices that an arriving guest may have.
    public static let standard = [balloon, entropy]
}
