package import AerostatGuestMemory
package import AerostatHost
package import AerostatMigration
package import AerostatVirtio

/// The connections between a device and the kernel. KVM implements them, or a test.
package protocol DeviceWiring {
    /// Makes the kernel raise an interrupt, as an edge, whenever an eventfd is written.
    func connect(_ event: Doorbell, toInterrupt interrupt: UInt32) throws(KVMError)

    /// Makes the kernel ring a doorbell whenever a vCPU writes 32 bits to an address. The vCPU does not leave to this process.
    /// - Parameter value: only this value rings; `nil` if any value does.
    func connect(_ address: UInt64, value: UInt32?, to doorbell: Doorbell) throws(KVMError)
}

/// Gives each device of a machine its place: ports or addresses, an interrupt, a node in the ACPI tables, and a connection to the kernel
/// for each doorbell and interrupt. It knows no device by name.
///
/// The IOAPIC limits the number of virtio devices: each has an edge-triggered interrupt that it shares with no other.
package struct DeviceRegistry {
    package private(set) var devices = MachineDevices()
    package private(set) var bus = DeviceBus()
    /// The ACPI nodes of the devices, in the order in which the devices were attached.
    package private(set) var nodes: [AML.Term] = []
    /// The names of the virtio devices, by place, from 0 on.
    package private(set) var virtioNames: [String] = []
    private var takenInterrupts = MachineLayout.reservedInterrupts

    package init() {}

    /// Attaches a device at its fixed places in a PC.
    package mutating func attach(
        _ device: any MachineDevice,
        ports: [(Range<UInt16>, DeviceBus.Ports)],
        interrupt: UInt32,
        nodes: [AML.Term]
    ) throws(GuestError) {
        precondition(takenInterrupts.insert(interrupt).inserted, "interrupt \(interrupt) is somebody else's")
        try devices.attach(DeviceSlot(device))
        for (range, handler) in ports { bus.add(handler, at: range) }
        self.nodes += nodes
    }

    /// Attaches a virtio device at the next free place.
    /// - Returns: the device.
    @discardableResult
    package mutating func attach(
        _ maker: DeviceMaker,
        _ memory: GuestRAM,
        _ wiring: some DeviceWiring
    ) throws(GuestError) -> any VirtioDevice {
        let place = virtioNames.count
        let base = MachineLayout.virtioBase + UInt64(place) * MachineLayout.virtioStride
        guard let interrupt = MachineLayout.virtioInterrupts.first(where: { !takenInterrupts.contains($0) }) else {
            throw GuestError(
                "there is no interrupt left for \(maker.name): a machine has at most \(MachineLayout.virtioInterrupts.count) virtio devices"
            )
        }
        let device = try Self.connect(maker, memory, wiring, base, interrupt)
        let slot = DeviceSlot(device, memory)
        try devices.attach(slot)
        let transport = slot.transport!
        bus.add(
            DeviceBus.Registers(
                read: { transport.read(offset: $0, width: $1) },
                write: { transport.write(offset: $0, width: $1, value: $2) }
            ),
            at: base..<base + MachineLayout.virtioStride
        )
        takenInterrupts.insert(interrupt)
        nodes.append(AML.virtioDevice(place, base: base, byteCount: MachineLayout.virtioStride, interrupt: interrupt))
        virtioNames.append(slot.name)
        return device
    }

    private static func connect(
        _ maker: DeviceMaker,
        _ memory: GuestRAM,
        _ wiring: some DeviceWiring,
        _ base: UInt64,
        _ interrupt: UInt32
    ) throws(GuestError) -> any VirtioDevice {
        do {
            let event = try Doorbell()
            let device = try maker.make(memory) { level in if level { event.ring() } }
            precondition(device.identity.name == maker.name, "\(maker.name) makes \(device.identity.name)")
            try wiring.connect(event, toInterrupt: interrupt)
            let notify = base + VirtioMMIO.Register.queueNotify.rawValue
            let doorbells = device.doorbells
            if let only = doorbells.first, doorbells.allSatisfy({ $0 === only }) {
                try wiring.connect(notify, value: nil, to: only)
            } else {
                for (queue, doorbell) in doorbells.enumerated() { try wiring.connect(notify, value: UInt32(queue), to: doorbell) }
            }
            return device
        } catch {
            throw GuestError("attach \(maker.name): \(error)")
        }
    }
}
