import AerostatHost
public import AerostatMigration
public import AerostatVirtio

// What travels of the device beside its registers (little-endian):
//
//     target pages u32, actual pages u32, last command id u32, poison u32
extension BalloonDevice {
    public static let identity = DeviceIdentity(name: "virtio-balloon", version: 1)

    public var identity: DeviceIdentity { Self.identity }

    /// None: every machine of every version has a balloon, and a requirement that an older process does not know would keep the guest
    /// from it.
    public var requirements: [DeviceSection] { [] }

    public func park() { worker.withState { $0.queues.isParked = true } }

    public func unpark() { worker.withState { $0.queues.isParked = false } }

    public func saveState() -> [UInt8] {
        worker.withState { state in
            precondition(state.queues.isParked, "saving a device that is not parked")
            var writer = FieldBytes()
            writer.append(state.targetPages)
            writer.append(state.actualPages)
            writer.append(state.hints.sequencer.lastID.rawValue)
            writer.append(state.poison)
            return writer.bytes
        }
    }

    /// Whatever the command was at the source, it is done here, and the driver is told, so that it takes its blocks back when it runs.
    public func decodeState(_ bytes: [UInt8], version: UInt32) throws(DeviceStateError) -> DeviceRestoration {
        guard version == Self.identity.version else { throw .version(version) }
        var reader = StateReader(bytes)
        let targetPages: UInt32 = try reader.take("target pages")
        let actualPages: UInt32 = try reader.take("actual pages")
        let lastID = CommandID(rawValue: try reader.take("last command id"))
        let poison: UInt32 = try reader.take("poison")
        try reader.finish()
        return DeviceRestoration { [worker, signals] in
            worker.withState { state in
                precondition(state.queues.isParked, "restoring a device that is not parked")
                state.targetPages = targetPages
                state.actualPages = actualPages
                state.poison = poison
                state.hints.sequencer = FreePageHintSequencer(lastID: lastID)
                #if BrokenEngines
                    if BrokenEngine.isActive(.travelsStopped) { return }
                #endif
                state.hints.sequencer.done()
            }
            signals.configurationChanged()
        }
    }
}
