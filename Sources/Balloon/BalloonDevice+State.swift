import Host
public import Migration
public import Virtio

#if BrokenEngines
    import Host
#endif

// What travels of the device, in two sections: the transport's registers, and the device's own fields (little-endian):
//
//     target pages u32, actual pages u32, last command id u32, poison u32
extension BalloonDevice {
    public static let sectionName = "virtio-balloon"
    public static let transportSectionName = "virtio-balloon-mmio"
    static let stateVersion: UInt32 = 1

    /// All that another process needs beside guest RAM. Only while the vCPUs are paused and the device is parked.
    public func saveState(with transport: VirtioMMIOTransport) -> [DeviceSection] {
        let own = core.withState { state in
            precondition(state.isParked, "saving a device that is not parked")
            var writer = FieldBytes()
            writer.append(state.targetPages)
            writer.append(state.actualPages)
            writer.append(state.sequencer.lastID.rawValue)
            writer.append(state.poison)
            return writer.bytes
        }
        return [
            DeviceSection(
                name: Self.transportSectionName,
                version: VirtioMMIOTransport.stateVersion,
                bytes: transport.saveState()
            ),
            DeviceSection(name: Self.sectionName, version: Self.stateVersion, bytes: own),
        ]
    }

    /// Takes over what another process saved; RAM is in place and the device is parked. Sections of other devices are ignored.
    ///
    /// Whatever the command was at the source, it is done here, and the driver is told, so that it takes its blocks back when it
    /// runs. After an error nothing has changed.
    /// - Parameter sections: foreign input.
    public func restoreState(_ sections: [DeviceSection], with transport: VirtioMMIOTransport) throws(DeviceStateError) {
        let registers = try sections.section(Self.transportSectionName)
        var reader = StateReader(try sections.bytes(of: Self.sectionName, version: Self.stateVersion))
        let targetPages: UInt32 = try reader.take("target pages")
        let actualPages: UInt32 = try reader.take("actual pages")
        let lastID = CommandID(rawValue: try reader.take("last command id"))
        let poison: UInt32 = try reader.take("poison")
        try reader.finish()
        core.withState { precondition($0.isParked, "restoring a device that is not parked") }
        try transport.restoreState(registers.bytes, version: registers.version)
        core.withState { state in
            state.targetPages = targetPages
            state.actualPages = actualPages
            state.poison = poison
            state.sequencer = FreePageHintSequencer(lastID: lastID)
            #if BrokenEngines
                if BrokenEngine.isActive(.travelsStopped) { return }
            #endif
            state.sequencer.done()
        }
        signals.configurationChanged()
    }
}
