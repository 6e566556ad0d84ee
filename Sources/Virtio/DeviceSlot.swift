public import AerostatGuestMemory
public import AerostatMigration

#if BrokenEngines
    import AerostatHost
#endif

/// A device with its transport, if it has one. A machine attaches, parks, saves and moves them as one thing.
///
/// Its sections: the transport's registers under the device's name plus "-mmio", then the device's own fields under its name.
public struct DeviceSlot: Sendable {
    public let device: any MachineDevice
    /// What the guest's driver sees of a virtio device; `nil` for other devices.
    public let transport: VirtioMMIOTransport?

    public init(_ device: any MachineDevice) {
        precondition(!(device is any VirtioDevice), "a virtio device needs its transport")
        self.device = device
        transport = nil
    }

    public init(_ device: any VirtioDevice, _ memory: GuestRAM) {
        self.device = device
        transport = VirtioMMIOTransport(device, memory)
    }

    /// The device's name, which is also the name of its state's section.
    public var name: String { device.identity.name }
    private var transportName: String { name + "-mmio" }

    // MARK: Parking

    public func park() { device.park() }

    /// Lets the device work again, beginning with what arrived while it was parked. The driver does not repeat a kick that nobody answered,
    /// and a chain that was half done when the device was parked was already kicked. So every live queue is checked again.
    public func unpark() {
        device.unpark()
        #if BrokenEngines
            if BrokenEngine.isActive(.forgetsRescan) { return }
        #endif
        transport?.ringLiveQueues()
    }

    /// Resets the slot. A driver, if any, must begin anew.
    public func reset() {
        if let transport { transport.reset() } else { device.reset() }
    }

    // MARK: State

    /// Everything that another process needs of the slot, besides guest RAM. Call only while the vCPUs are stopped and the device is
    /// parked.
    public func saveState() -> [DeviceSection] {
        let identity = device.identity
        var sections: [DeviceSection] = []
        if let transport {
            let version = VirtioMMIOTransport.stateVersion
            sections.append(DeviceSection(name: transportName, version: version, bytes: transport.saveState()))
        }
        return sections + [DeviceSection(name: identity.name, version: identity.version, bytes: device.saveState())]
    }

    /// Finds the slot's sections among a machine's and checks them. Nothing changes before the result is applied.
    /// - Parameter sections: foreign input. Sections of other slots are ignored.
    public func decodeState(_ sections: [DeviceSection]) throws(DeviceStateError) -> DeviceRestoration {
        let own = try sections.section(name)
        let fields = try device.decodeState(own.bytes, version: own.version)
        guard let transport else { return fields }
        let saved = try sections.section(transportName)
        let registers = try transport.decodeState(saved.bytes, version: saved.version)
        return DeviceRestoration {
            // Apply the registers first: restoring them resets the device, so the device's own fields must follow.
            registers.apply()
            fields.apply()
        }
    }

    /// Checks the sections and applies them. After an error nothing has changed.
    /// - Parameter sections: foreign input.
    public func restoreState(_ sections: [DeviceSection]) throws(DeviceStateError) { try decodeState(sections).apply() }
}

extension [DeviceSection] {
    /// The section with the given name, which a guest's state must have.
    package func section(_ name: String) throws(DeviceStateError) -> DeviceSection {
        guard let section = first(where: { $0.name == name }) else { throw .missing(section: name) }
        return section
    }

    /// The bytes of a section, if it has the only known version.
    package func bytes(of name: String, version: UInt32) throws(DeviceStateError) -> [UInt8] {
        let section = try section(name)
        guard section.version == version else { throw .version(section.version) }
        return section.bytes
    }
}
