import AerostatGuestMemory
import AerostatHost
public import AerostatMigration
public import AerostatVirtio

// The device state that travels beside the transport's registers (little-endian):
//
//     version 1:  target pages u32, actual pages u32, last command id u32, poison u32
//     version 2:  the same, then
//                 promised poison u32, pages in the balloon u64,
//                 polling interval in seconds u32, last statistics u64 (milliseconds since 1970; 0 for never), whether they are held u8
//
// Only the number of ballooned pages travels: the set is proportional to the memory's size, and the guest is paused meanwhile. At the
// destination these pages were never touched, so they cost nothing, and the driver deflates them by number.
extension BalloonDevice {
    public static let identity = DeviceIdentity(name: "virtio-balloon", version: 2)

    public var identity: DeviceIdentity { Self.identity }

    /// Empty. Every machine of every version has a balloon, and an older process would refuse the guest for a requirement that it does not
    /// know.
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
            writer.append(state.account.promisedPoison)
            // The unfinished chain's pages are left out: the destination processes that chain again from its start.
            writer.append(UInt64(state.account.pageCount - state.inflate.pagesInWork + state.deflate.pagesInWork))
            writer.append(state.statistics.intervalSeconds)
            writer.append(state.statistics.values.lastUpdateMilliseconds ?? 0)
            writer.append(state.isStatisticsBufferKept || state.statistics.isNextOld)
            return writer.bytes
        }
    }

    /// A command that was open at the source becomes *done* here. The driver is told, so it takes its blocks back when it runs.
    public func decodeState(_ bytes: [UInt8], version: UInt32) throws(DeviceStateError) -> DeviceRestoration {
        guard version == 1 || version == Self.identity.version else { throw .version(version) }
        var reader = StateReader(bytes)
        let targetPages: UInt32 = try reader.take("target pages")
        let actualPages: UInt32 = try reader.take("actual pages")
        let lastID = CommandID(rawValue: try reader.take("last command id"))
        let poison: UInt32 = try reader.take("poison")
        var more = LaterFields(promisedPoison: poison)
        if version > 1 { more = try LaterFields(&reader, pageCount: memory.pageCount) }
        try reader.finish()
        return DeviceRestoration { [worker, signals, more] in
            worker.withState { state in
                precondition(state.queues.isParked, "restoring a device that is not parked")
                state.targetPages = targetPages
                state.actualPages = actualPages
                state.poison = poison
                state.account.promisedPoison = more.promisedPoison
                state.account.arrivedPages = more.balloonedPages
                state.statistics.restore(
                    intervalSeconds: more.intervalSeconds,
                    lastUpdateMilliseconds: more.lastUpdateMilliseconds,
                    isHeld: more.isHeld
                )
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

/// The fields that version 2 added.
private struct LaterFields: Sendable {
    var promisedPoison: UInt32
    var balloonedPages = 0
    /// If the source sent no value, this device's own setting stays.
    var intervalSeconds: UInt32?
    var lastUpdateMilliseconds: UInt64?
    var isHeld = false

    init(promisedPoison: UInt32) { self.promisedPoison = promisedPoison }

    init(_ reader: inout StateReader, pageCount: Int) throws(DeviceStateError) {
        promisedPoison = try reader.take("promised poison")
        let ballooned: UInt64 = try reader.take("pages in the balloon")
        guard ballooned <= UInt64(pageCount) else { throw .value(field: "pages in the balloon", ballooned) }
        balloonedPages = Int(ballooned)
        intervalSeconds = try reader.take("polling interval")
        let lastUpdate: UInt64 = try reader.take("last statistics")
        lastUpdateMilliseconds = lastUpdate == 0 ? nil : lastUpdate
        isHeld = try reader.takeFlag("held statistics")
    }
}
