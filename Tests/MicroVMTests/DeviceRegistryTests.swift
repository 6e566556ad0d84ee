import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

@Suite struct RangeMapTests {
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `A range map finds what a search through all ranges finds`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var map = RangeMap<Int>()
        var ranges: [Range<UInt64>] = []
        for number in 0..<200 {
            let start = UInt64.random(in: 0..<2000, using: &random)
            let range = start..<start + .random(in: 1...20, using: &random)
            guard !ranges.contains(where: { $0.overlaps(range) }) else {
                ranges.append(0..<0)
                continue
            }
            map.insert(range, number)
            ranges.append(range)
        }
        for place in UInt64(0)..<2100 {
            let expected = ranges.firstIndex { $0.contains(place) }
            let found = map.find(place)
            #expect(found?.value == expected, "\(place), seed \(seed)")
            if let expected, let found { #expect(found.offset == place - ranges[expected].lowerBound) }
        }
        #expect(map.find(.max) == nil)
    }
}

/// Devices without a driver, and the connections that they got.
@Suite struct DeviceRegistryTests {
    private final class Wiring: DeviceWiring {
        var interrupts: [UInt32] = []
        var kicks: [(address: UInt64, value: UInt32?)] = []
        func connect(_ event: Doorbell, toInterrupt interrupt: UInt32) { interrupts.append(interrupt) }
        func connect(_ address: UInt64, value: UInt32?, to doorbell: Doorbell) { kicks.append((address, value)) }
    }

    private let memory: GuestRAM
    private let wiring = Wiring()

    init() throws { memory = try GuestRAM(regionTable(pages: 16)) }

    private func maker(_ number: Int, doorbells: Int = 1, queues: Int = 1) -> DeviceMaker {
        DeviceMaker(name: "silent-\(number)") { (_, interrupt) throws(SystemError) in
            try SilentDevice("silent-\(number)", queues: queues, doorbells: doorbells, interrupt)
        }
    }

    @Test func `Each virtio device has its own registers, interrupt and node, and the eighteenth is the last that fits`() throws {
        var registry = DeviceRegistry()
        for number in 0..<18 { try registry.attach(maker(number), memory, wiring) }
        #expect(wiring.interrupts == [5, 6, 7, 8] + Array(10...23))
        #expect(Set(wiring.kicks.map(\.address)).count == 18 && wiring.kicks.allSatisfy { $0.value == nil })
        #expect(registry.nodes.count == 18 && Set(registry.nodes).count == 18)
        for place in UInt64(0)..<18 {
            #expect(registry.bus.read(address: MachineLayout.virtioBase + place * MachineLayout.virtioStride, width: 4) == 0x7472_6976)
        }
        #expect(registry.bus.read(address: MachineLayout.virtioBase + 18 * MachineLayout.virtioStride, width: 4) == .max)
        let error = #expect(throws: GuestError.self) { try registry.attach(maker(18), memory, wiring) }
        #expect("\(error!)".contains("no interrupt left for silent-18") && "\(error!)".contains("at most 18"))
        #expect(registry.devices.slots.count == 18)
    }

    @Test func `No virtio device gets the interrupt of a PC device`() throws {
        var registry = DeviceRegistry()
        let port = SerialPort(output: { _ in }, interrupt: { _ in })
        try registry.attach(port, ports: port.portHandlers, interrupt: 6, nodes: SerialPort.nodes)
        for number in 0..<2 { try registry.attach(maker(number), memory, wiring) }
        #expect(wiring.interrupts == [5, 7])
        #expect(registry.bus.input(port: MachineLayout.serialPort + 5, width: 1) == 0x60)
        #expect(registry.bus.input(port: MachineLayout.serialPort + 8, width: 1) == 0xFF)
    }

    @Test func `A second device with the same name is refused`() throws {
        var registry = DeviceRegistry()
        try registry.attach(maker(1), memory, wiring)
        #expect(throws: GuestError.self) { try registry.attach(maker(1), memory, wiring) }
        #expect(registry.devices.slots.count == 1 && registry.virtioNames == ["silent-1"])
    }

    @Test func `A shared doorbell rings for a kick of any queue, and a queue's own doorbell rings for its kicks`() throws {
        var registry = DeviceRegistry()
        try registry.attach(maker(0, doorbells: 1, queues: 3), memory, wiring)
        #expect(wiring.kicks.map(\.value) == [nil])
        try registry.attach(maker(1, doorbells: 3, queues: 3), memory, wiring)
        #expect(wiring.kicks.dropFirst().map(\.value) == [0, 1, 2])
    }
}

extension MachineTests {
    @Suite(.serialized) struct Doorbells {
        @Test func `A guest's kick rings the doorbell of the kicked queue, and no other`() throws {
            let doorbells = try (0..<3).map { _ in try Doorbell() }
            let maker = DeviceMaker(name: "virtio-balloon") { (_, interrupt) throws(SystemError) in
                SilentDevice("virtio-balloon", doorbells, configuration: 2, features: VirtioFeatures(rawValue: 1 << 3), interrupt)
            }
            let guest = TinyGuest(pages: 16)
            var configuration = MicroVMConfiguration(guest)
            configuration.devices = [maker]
            let machine = try MicroVM(booting: configuration)
            try machine.resume()
            // The guest takes the device for a balloon that has asked for hints, and answers on queue 2.
            try eventually("the guest does not answer") { try guest.record(in: machine.memory).answers == 1 }
            try eventually("the kick does not come") { doorbells[2].answer() }
            try machine.pause()
            // At DRIVER_OK the transport rang for the only queue there was.
            #expect(!doorbells[0].answer() && !doorbells[1].answer())
        }
    }
}

/// Offers queues and never serves them.
private final class SilentDevice: VirtioDevice {
    let identity: DeviceIdentity
    let signals: VirtioSignals
    let doorbells: [Doorbell]
    let offeredFeatures: VirtioFeatures
    private let configuration: UInt64

    init(
        _ name: String,
        _ doorbells: [Doorbell],
        configuration: UInt64 = 0,
        features: VirtioFeatures = [],
        _ interrupt: @escaping @Sendable (Bool) -> Void
    ) {
        identity = DeviceIdentity(name: name, version: 1)
        signals = VirtioSignals(interrupt: interrupt)
        self.doorbells = doorbells
        self.configuration = configuration
        offeredFeatures = features.union(.version1)
    }

    convenience init(_ name: String, queues: Int, doorbells: Int, _ interrupt: @escaping @Sendable (Bool) -> Void) throws(SystemError) {
        var bells: [Doorbell] = []
        for _ in 0..<doorbells { bells.append(try Doorbell()) }
        while bells.count < queues { bells.append(bells[0]) }
        self.init(name, bells, interrupt)
    }

    var deviceID: UInt32 { 5 }
    func queueSizes(negotiated: VirtioFeatures) -> [UInt16] { Array(repeating: 256, count: doorbells.count) }
    func readConfiguration(offset: Int, width: Int) -> UInt64 { configuration }
    func writeConfiguration(offset: Int, width: Int, value: UInt64) {}
    func activate(_ features: VirtioFeatures, queues: [SplitVirtqueue?]) {}
    func stop(queue: Int) {}
    var queuePositions: [VirtqueuePosition?] { Array(repeating: nil, count: doorbells.count) }
    func park() {}
    func unpark() {}
    func saveState() -> [UInt8] { [] }
    func decodeState(_ bytes: [UInt8], version: UInt32) -> DeviceRestoration { DeviceRestoration {} }
    func reset() {}
    var requirements: [DeviceSection] { [] }
}
