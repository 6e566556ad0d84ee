import AerostatHost
package import AerostatMigration
package import AerostatVirtio
import Synchronization

/// The registers with which a guest powers off, resets itself, and reads its power button: those of hardware-reduced ACPI (6.5, sections
/// 4.8.3.7 and 5.6.9), and the keyboard controller's reset line, which guests try after them.
///
/// Any vCPU may call at any time. The closures are called under a lock and must not call back.
package final class PowerControl: Sendable {
    package enum Request: Hashable, Sendable {
        case powerOff
        case reset
    }

    /// The keyboard controller's command and status port. No other part of that controller exists.
    package static let keyboardPort: UInt16 = 0x64
    /// Pulses the processor's reset line.
    package static let keyboardReset: UInt8 = 0xFE
    /// All ports of this device.
    package static let ports = [
        MachineLayout.sleepControlPort, MachineLayout.sleepStatusPort, MachineLayout.resetPort, MachineLayout.eventPort, keyboardPort,
    ]

    /// For the bus.
    package var portHandlers: [(Range<UInt16>, DeviceBus.Ports)] {
        Self.ports.map { port in
            (port..<port + 1, DeviceBus.Ports(read: { _ in self.read(port: port) }, write: { self.write(port: port, $1) }))
        }
    }

    // ACPI 6.5, tables 4.19 and 4.20.
    private static let sleepTypeShift: UInt8 = 2
    private static let sleepTypeMask: UInt8 = 7
    private static let sleepEnable: UInt8 = 1 << 5
    /// The bit of the event port for the power button.
    static let powerButton: UInt8 = 1

    /// Events that the guest has not read.
    private let events = Mutex<UInt8>(0)
    private let request: @Sendable (Request) -> Void
    private let interrupt: @Sendable (Bool) -> Void

    /// - Parameters:
    ///   - request: called on the vCPU's thread when the guest powers off or resets itself.
    ///   - interrupt: sets the level of `MachineLayout.eventInterrupt`.
    package init(request: @escaping @Sendable (Request) -> Void, interrupt: @escaping @Sendable (Bool) -> Void) {
        self.request = request
        self.interrupt = interrupt
    }

    /// Tells the guest that somebody pressed its power button. The guest decides what to do.
    package func pressPowerButton() {
        events.withLock { events in
            if events == 0 { interrupt(true) }
            events |= Self.powerButton
        }
    }

    /// The guest reads one of `ports`.
    package func read(port: UInt16) -> UInt8 {
        guard port == MachineLayout.eventPort else { return 0 }
        return events.withLock { events in
            if events != 0 { interrupt(false) }
            defer { events = 0 }
            return events
        }
    }

    /// The guest writes to one of `ports`. Values without a meaning are ignored.
    package func write(port: UInt16, _ value: UInt8) {
        switch (port, value) {
        case (MachineLayout.sleepControlPort, _):
            let isOff = value >> Self.sleepTypeShift & Self.sleepTypeMask == MachineLayout.sleepTypeOff
            if value & Self.sleepEnable != 0, isOff { request(.powerOff) }
        case (MachineLayout.resetPort, MachineLayout.resetValue), (Self.keyboardPort, Self.keyboardReset): request(.reset)
        default: break
        }
    }
}

// The section "power": one byte with the events that the guest has not read.
extension PowerControl: MachineDevice {
    package static let identity = DeviceIdentity(name: "power", version: 1)

    package var identity: DeviceIdentity { Self.identity }
    package var requirements: [DeviceSection] { [] }

    /// There is nothing to stop: the device acts only when a vCPU or a person asks. A button press while it is parked waits for the guest.
    package func park() {}
    package func unpark() {}

    package func reset() { set(0) }

    package func saveState() -> [UInt8] { [events.withLock { $0 }] }

    /// Applying the state drives the interrupt line, so the interrupt controllers' state must be in place before.
    package func decodeState(_ bytes: [UInt8], version: UInt32) throws(DeviceStateError) -> DeviceRestoration {
        guard version == Self.identity.version else { throw .version(version) }
        var reader = StateReader(bytes)
        let restored = try reader.take("power events", upTo: Self.powerButton)
        try reader.finish()
        return DeviceRestoration { [self] in set(restored) }
    }

    private func set(_ new: UInt8) {
        events.withLock { events in
            events = new
            interrupt(new != 0)
        }
    }
}
