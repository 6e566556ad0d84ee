import AerostatBalloon
import AerostatBalloonControl
import AerostatGuestMemory
import AerostatHost
import AerostatMachineHost
import AerostatMigration
import AerostatModelGuest
import AerostatQMP
import Logging
import Synchronization
import Testing

/// A model guest as a host holds it.
private final class HostedGuest: BalloonHolder {
    let model: ModelGuest

    init(_ model: ModelGuest) { self.model = model }

    var balloonDevice: BalloonDevice? { model.balloon }
    var powerButton: (any PowerButton)? { nil }
    var memory: GuestRAM { model.memory }
    var tracker: any DirtyTracker { model.tracker }
    var hinting: (any FreePageHinting)? { model.hinting }
    var requirements: [DeviceSection] { model.requirements }
    var isRunning: Bool { model.isRunning }
    func pause() throws(GuestError) { try model.pause() }
    func resume() throws(GuestError) { try model.resume() }
    func saveDeviceState() throws(GuestError) -> [DeviceSection] { try model.saveDeviceState() }
    func loadDeviceState(_ sections: [DeviceSection]) throws(GuestError) { try model.loadDeviceState(sections) }
    func memoryUse() -> MemoryUse? { model.memoryUse() }
    func checkItself() throws(GuestError) -> SelfCheck { throw GuestError("not asked for here") }
    func shutdown() { model.shutdown() }
}

@Suite(.timeLimit(.minutes(2))) struct BalloonCapabilityTests {
    /// A model guest of 64 MiB behind its host, and the events that clients hear.
    private final class Machine: Sendable {
        let host: MachineHost
        let capability: BalloonCapability
        let guest: ModelGuest
        let events = Monitor<[Event]>([])
        let commands: CommandSet

        init() throws {
            host = try MachineHost(.new, keepsEndedGuest: false, inheritedSockets: [], logger: Logger(label: "test"))
            capability = BalloonCapability(host)
            var configuration = ModelGuestConfiguration(memory: try RegionTable([MemoryRegion(base: GuestAddress(0), byteCount: 64 << 20)]))
            (configuration.usedShare, configuration.freedShare) = (0.1, 0.5)
            guest = try ModelGuest(booting: configuration)
            var objects = ObjectModel()
            objects.add(capability.object, named: BalloonObject.name)
            var all = host.commands
            for set in [capability.commands, objects.commands] { all.add(set) }
            commands = all
            host.attach { [events] event, _ in events.update { $0.append(event) } }
            host.hold(HostedGuest(guest))
        }

        deinit { host.shutdown() }

        func ask(_ name: String, _ arguments: [String: JSONValue] = [:]) throws(QMPError) -> JSONValue {
            try commands.prepare(name, arguments).perform()
        }

        func refusal(_ name: String, _ arguments: [String: JSONValue]) -> QMPError? {
            do throws(QMPError) {
                _ = try ask(name, arguments)
                return nil
            } catch { return error }
        }
    }

    private static let stats: [String: JSONValue] = ["path": "/machine/peripheral/balloon0", "property": "guest-stats-polling-interval"]

    @Test func `A guest shrinks to the size that was asked for, and clients hear the last size`() throws {
        let machine = try Machine()
        try machine.host.start()
        #expect(try machine.ask("query-balloon")["actual"] == .integer(64 << 20))
        _ = try machine.ask("balloon", ["value": .integer(48 << 20)])
        #expect(try machine.ask("query-balloon")["target"] == .integer(48 << 20))
        let last = JSONValue.integer(48 << 20)
        let heard = machine.events.wait(until: MonotonicClock.now() + .seconds(20)) { events -> Bool? in
            events.contains(.other("BALLOON_CHANGE", data: ["actual": last])) ? true : nil
        }
        #expect(heard == true)
        #expect(try machine.ask("query-balloon")["actual"] == last)
        #expect(try machine.ask("query-balloon")["waits-for"] == nil)
        // The model guest gives single pages, as Linux does: of each stretch that it touches a part stays.
        let split = try machine.ask("qom-get", ["path": "balloon0", "property": "split-huge-pages"])
        #expect(split.integer.map { (8...32).contains($0) } == true, "\(split)")
    }

    @Test func `A size above the guest's memory is all of it`() throws {
        let machine = try Machine()
        _ = try machine.ask("balloon", ["value": .integer(1 << 50)])
        #expect(try machine.ask("query-balloon")["target"] == .integer(64 << 20))
    }

    @Test func `A driver that says that more is in the balloon than the guest has says that all is, in the event too`() throws {
        let machine = try Machine()
        machine.guest.balloon.writeConfiguration(offset: 4, width: 4, value: UInt64(UInt32.max))
        let heard = machine.events.wait(until: MonotonicClock.now() + .seconds(20)) { $0.last }
        #expect(heard == .other("BALLOON_CHANGE", data: ["actual": 0]))
        #expect(try machine.ask("query-balloon")["actual"] == 0)
    }

    @Test func `A guest that does not run is said to be the reason`() throws {
        let machine = try Machine()
        _ = try machine.ask("balloon", ["value": .integer(32 << 20)])
        #expect(try machine.ask("query-balloon")["waits-for"]?.string == "the guest does not run")
    }

    @Test(arguments: [0, -1, Int.min])
    func `A size that is none is refused with QEMU's words`(size: Int) throws {
        let machine = try Machine()
        #expect(machine.refusal("balloon", ["value": .integer(size)]) == QMPError("Parameter 'target' expects a size"))
    }

    @Test func `Polling is set within QEMU's limits, and refused with its words`() throws {
        let machine = try Machine()
        var arguments = Self.stats
        for (value, words) in [
            (JSONValue.integer(-2), "timer value must be greater than zero"), (.integer(1 << 40), "timer value is too big"),
            ("often", "Invalid parameter type for 'guest-stats-polling-interval', expected: integer"),
        ] {
            arguments["value"] = value
            #expect(machine.refusal("qom-set", arguments) == QMPError(words))
        }
        arguments["value"] = 7
        _ = try machine.ask("qom-set", arguments)
        #expect(try machine.ask("qom-get", Self.stats) == 7)
    }

    @Test func `Objects and properties that are not there are refused with QEMU's words`() throws {
        let machine = try Machine()
        let path: JSONValue = "/machine/peripheral/balloon0"
        #expect(
            machine.refusal("qom-get", ["path": path, "property": "colour"])
                == QMPError("Property 'virtio-balloon-device.colour' not found")
        )
        #expect(
            machine.refusal("qom-set", ["path": path, "property": "guest-stats", "value": 1])
                == QMPError("Property 'virtio-balloon-device.guest-stats' is not writable")
        )
        #expect(
            machine.refusal("qom-get", ["path": "/machine/nothing", "property": "guest-stats"])
                == QMPError(.deviceNotFound, "Device '/machine/nothing' not found")
        )
    }

    @Test func `The guest's statistics come under QEMU's names, with -1 for what it does not give`() throws {
        let machine = try Machine()
        try machine.host.start()
        var arguments = Self.stats
        arguments["value"] = 1
        _ = try machine.ask("qom-set", arguments)
        let property: [String: JSONValue] = ["path": "balloon0", "property": "guest-stats"]
        let deadline = MonotonicClock.now() + .seconds(20)
        while try machine.ask("qom-get", property)["last-update"] == 0, MonotonicClock.now() < deadline {
            HostThread.sleep(for: .milliseconds(20))
        }
        let answer = try machine.ask("qom-get", property)
        let reply = try #require(GuestStatisticsReply(json: answer))
        #expect(reply.lastUpdate > 0)
        #expect(reply.figures[.totalMemory].map { $0 > 0 && $0 <= 64 << 20 } == true)
        #expect(answer["stats"]?["stat-htlb-pgalloc"] == .numeral("18446744073709551615"))
        #expect(reply.figures[.hugePageAllocations] == nil)
    }

    @Test func `Each statistic has the name that QEMU gives its tag`() throws {
        // VIRTIO_BALLOON_S_* of Linux, in the order of their numbers.
        let names = [
            "swap-in", "swap-out", "major-faults", "minor-faults", "free-memory", "total-memory", "available-memory", "disk-caches",
            "htlb-pgalloc", "htlb-pgfail", "oom-kills", "alloc-stalls", "async-scans", "direct-scans", "async-reclaims", "direct-reclaims",
        ]
        for (tag, name) in names.enumerated() {
            var statistics = GuestStatistics()
            statistics[try #require(GuestStatistics.Value(rawValue: UInt16(tag)))] = 7
            let stats = GuestStatisticsReply(statistics).json["stats"]
            #expect(stats?["stat-" + name] == 7, "\(tag)")
        }
    }

    @Test func `Every counter of the device has a name`() {
        let counters = BalloonCounters()
        #expect(counters.named.count == Mirror(reflecting: counters).children.count)
        #expect(Set(counters.named.map(\.name)).count == counters.named.count)
    }

    @Test func `Before there is a guest the balloon is refused`() throws {
        let host = try MachineHost(.incoming, keepsEndedGuest: false, inheritedSockets: [], logger: Logger(label: "test"))
        let set = BalloonCapability(host).commands
        #expect(throws: QMPError.self) { _ = try set.prepare("balloon", ["value": 1]).perform() }
        #expect(throws: QMPError.self) { _ = try set.prepare("query-balloon", [:]).perform() }
    }
}
