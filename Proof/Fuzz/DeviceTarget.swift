import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio

/// A hostile driver: the input is a byte of options and then a program of register accesses, writes to RAM, and what the host does
/// meanwhile. The device has no thread of its own here: it works where the program says so.
enum DeviceTarget: FuzzTarget {
    private static let maximumOperations = 256

    static func run(_ input: [UInt8]) {
        var input = FuzzInput(input)
        var machine = HostileMachine(flags: input.take())
        var operations = 0
        while input.remaining > 0, operations < maximumOperations {
            machine.perform(&input)
            operations += 1
        }
        machine.finish()
    }
}

/// A guest of 192 KiB in two regions, its balloon, and a driver that does anything.
struct HostileMachine {
    static let lowBytes: UInt64 = 160 << 10
    static let highBase: UInt64 = 0x1_0000_0000
    private static let regions = must {
        try RegionTable([
            MemoryRegion(base: GuestAddress(0), byteCount: lowBytes),
            MemoryRegion(base: GuestAddress(highBase), byteCount: 32 << 10),
        ])
    }
    private static let queues = 5
    /// From one ring's place to the next one's: room for a ring of 1024.
    private static let ringStride: UInt64 = 0x7000
    /// Commands, page numbers and statistics are written here, behind the rings.
    static let commandAddress = UInt64(queues) * ringStride
    /// The most that the device works before the program goes on.
    private static let stepsPerService = 512

    private let memory: GuestRAM
    private let options: BalloonOptions
    private let sink: WatchfulSink
    private let discards: WatchfulDiscards
    let clock = FuzzClock()
    private(set) var device: BalloonDevice
    private var slot: DeviceSlot
    private var transport: VirtioMMIOTransport { slot.transport! }
    private var isParked = false
    /// What keeps the balloon from giving memory back.
    var inhibitions: [BalloonInhibition] = []

    /// RAM as the driver wrote it, and where the device may write: the used rings. `nil` where the program put rings somewhere else.
    private var expected: [UInt8]? = [UInt8](repeating: 0, count: Int(regions.byteCount))
    private var usedRings: [Range<Int>] = []
    /// Pages of the rings that the device was given, where that is known.
    private var ringPages: Range<Int>?
    /// The numbers that the queues have with the features that were negotiated.
    private(set) var numbers = (statistics: 2, hints: 2, reports: 4)
    private var available = [UInt16](repeating: 0, count: queues)
    private var sizes = [UInt16](repeating: 1, count: queues)

    init(flags: UInt8) {
        memory = must { try GuestRAM(Self.regions) }
        options = BalloonOptions(
            offersHints: flags & 1 == 0,
            offersPoison: flags & 2 == 0,
            offersStatistics: flags & 8 == 0,
            offersReporting: flags & 16 == 0,
            offersMustTellHost: flags & 32 == 0,
            usesSpecificationQueueNumbers: flags & 4 != 0
        )
        sink = WatchfulSink(memory.regions)
        discards = WatchfulDiscards(memory)
        (device, slot) = Self.makeDevice(memory, options, clock)
    }

    private static func makeDevice(_ memory: GuestRAM, _ options: BalloonOptions, _ clock: FuzzClock) -> (BalloonDevice, DeviceSlot) {
        let device = must { try BalloonDevice(memory, options: options, clock: clock.clock, hasThread: false) { _ in } }
        return (device, DeviceSlot(device, memory))
    }

    // MARK: The program

    mutating func perform(_ input: inout FuzzInput) {
        switch input.take(UInt8.self) % 20 {
        case 0:
            let registers = VirtioMMIO.Register.allCases
            access(register: registers[Int(input.take(UInt8.self)) % registers.count], input.take())
        case 1:
            expected = nil
            let (offset, width) = (UInt64(input.take(UInt16.self)) % 0x1100, Int(input.take(UInt8.self)) % 10)
            transport.write(offset: offset, width: width, value: input.take())
        case 2: _ = transport.read(offset: UInt64(input.take(UInt16.self)) % 0x1100, width: Int(input.take(UInt8.self)) % 10)
        case 3: store(littleEndian(input.take(UInt16.self)), address(&input))
        case 4: store(input.take(atMost: Int(input.take(UInt8.self)) % 64), address(&input))
        case 5: start(&input)
        case 6: describe(&input)
        case 7: publish(queue(&input), head: UInt16(input.take(UInt8.self)), count: 1, surplus: 4)
        case 8: publish(queue(&input), head: UInt16(input.take(UInt8.self)), count: input.take(), surplus: 0)
        case 9: serve()
        case 10: host(input.take())
        case 11: move()
        case 12: moveForeign(&input)
        case 13: command(&input)
        case 14: hint(&input)
        case 15: access(register: .status, UInt32(input.take(UInt8.self)))
        case 16: name(&input)
        case 17: report(&input)
        case 18: tellStatistics(&input)
        default: balloon(&input)
        }
    }

    private func queue(_ input: inout FuzzInput) -> Int { Int(input.take(UInt8.self)) % Self.queues }

    /// A place: in a ring mostly, at an edge of RAM, or anywhere.
    private func address(_ input: inout FuzzInput) -> UInt64 {
        let (kind, offset) = (input.take(UInt8.self), UInt64(input.take(UInt16.self)))
        return switch kind % 8 {
        case 0...2: UInt64(kind / 8 % 5) * Self.ringStride + offset
        case 3: Self.commandAddress + offset
        case 4: Self.highBase + offset
        case 5: Self.lowBytes - 32 + offset % 64
        case 6: offset << 16
        default: offset << 48 | input.take(UInt64.self)
        }
    }

    mutating func store(_ content: [UInt8], _ address: UInt64) {
        guard !content.isEmpty, (try? memory.write(content, at: GuestAddress(address))) != nil else { return }
        let place = memory.regions.offset(of: GuestAddress(address), byteCount: content.count)!
        expected?.replaceSubrange(place..<place + content.count, with: content)
    }

    private mutating func access(register: VirtioMMIO.Register, _ value: UInt32) {
        if register == .queueDeviceLow || register == .queueDeviceHigh { expected = nil }
        if register != .queueNotify, register != .interruptAcknowledge { ringPages = nil }
        set(register, value)
    }

    private func set(_ register: VirtioMMIO.Register, _ value: UInt32) {
        transport.write(offset: register.rawValue, width: 4, value: UInt64(value))
    }

    // MARK: A driver that knows the way

    func layout(_ queue: Int) -> VirtqueueLayout {
        VirtqueueLayout(size: sizes[queue], contiguousAt: GuestAddress(UInt64(queue) * Self.ringStride))
    }

    private mutating func start(_ input: inout FuzzInput) {
        typealias Status = VirtioMMIO.Status
        let (features, logarithm) = (input.take(UInt8.self), Int(input.take(UInt8.self)) % 11)
        set(.status, 0)
        set(.status, Status.acknowledge | Status.driver)
        let offered = UInt32(truncatingIfNeeded: device.offeredFeatures.rawValue)
        let accepted = features & 1 == 0 ? offered : offered & (UInt32(features) << 27 | UInt32(features) >> 1)
        let maxima = device.queueSizes(negotiated: VirtioFeatures(rawValue: UInt64(accepted) | 1 << 32))
        numbers = (2, maxima.firstIndex(of: 1024) ?? 2, maxima.firstIndex(of: 32) ?? 4)
        for (word, value) in [accepted, 1].enumerated() {
            set(.driverFeaturesSelect, UInt32(word))
            set(.driverFeatures, value)
        }
        set(.status, Status.acknowledge | Status.driver | Status.featuresOK)
        for queue in 0..<Self.queues {
            sizes[queue] = min(1 << UInt16(logarithm), queue < maxima.count && maxima[queue] > 0 ? maxima[queue] : 128)
            available[queue] = 0
            let layout = layout(queue)
            store([UInt8](repeating: 0, count: VirtqueueLayout.contiguousByteCount(size: layout.size)), layout.descriptorTable.rawValue)
            let used = Int(layout.deviceArea.rawValue)
            usedRings.append(used..<used + VirtqueueLayout.byteCount(.deviceArea, size: layout.size))
            setUp(queue, layout)
        }
        ringPages = 0..<Int((Self.commandAddress + 4095) >> 12)
        set(.status, Status.acknowledge | Status.driver | Status.featuresOK | Status.driverOK)
    }

    private func setUp(_ queue: Int, _ layout: VirtqueueLayout) {
        set(.queueSelect, UInt32(queue))
        set(.queueSize, UInt32(layout.size))
        let places: [(VirtioMMIO.Register, VirtioMMIO.Register, GuestAddress)] = [
            (.queueDescriptorLow, .queueDescriptorHigh, layout.descriptorTable), (.queueDriverLow, .queueDriverHigh, layout.driverArea),
            (.queueDeviceLow, .queueDeviceHigh, layout.deviceArea),
        ]
        for (low, high, address) in places {
            set(low, UInt32(truncatingIfNeeded: address.rawValue))
            set(high, UInt32(truncatingIfNeeded: address.rawValue >> 32))
        }
        set(.queueReady, 1)
    }

    private mutating func describe(_ input: inout FuzzInput) {
        let queue = queue(&input)
        let index = UInt64(input.take(UInt8.self)) % UInt64(sizes[queue])
        let content = littleEndian(address(&input)) + input.take(atMost: 8)
        store(content, layout(queue).descriptorTable.rawValue + 16 * index)
    }

    /// Makes chains available: descriptors one behind the other from `head` on, whatever they say.
    /// - Parameter surplus: how many descriptors are named that there are not.
    mutating func publish(_ queue: Int, head: UInt16, count: UInt8, surplus: UInt16) {
        for offset in 0..<UInt16(count) {
            let entry = layout(queue).driverArea.rawValue + 4 + 2 * UInt64(available[queue] % sizes[queue])
            store(littleEndian((head &+ offset) % (sizes[queue] + surplus)), entry)
            available[queue] &+= 1
        }
        store(littleEndian(available[queue]), layout(queue).driverArea.rawValue + 2)
        set(.queueNotify, UInt32(queue))
        serve()
    }

    /// Sends the current command's id, or another four bytes.
    private mutating func command(_ input: inout FuzzInput) {
        let kind: UInt8 = input.take()
        let word = kind < 0xE0 ? UInt32(truncatingIfNeeded: transport.read(offset: 0x108, width: 4)) : input.take()
        store(littleEndian(word), Self.commandAddress)
        send(Self.commandAddress, byteCount: 4, isWritable: false, numbers.hints)
    }

    /// Sends a buffer of one descriptor.
    mutating func send(_ address: UInt64, byteCount: UInt32, isWritable: Bool, _ queue: Int) {
        let flags = UInt32(isWritable ? VirtqueueDescriptor.write : 0)
        store(littleEndian(address) + littleEndian(byteCount) + littleEndian(flags), layout(queue).descriptorTable.rawValue)
        publish(queue, head: 0, count: 1, surplus: 0)
    }

    /// Sends one block of one to sixteen pages.
    private mutating func hint(_ input: inout FuzzInput) {
        let (address, byteCount) = block(&input)
        send(address, byteCount: byteCount, isWritable: true, numbers.hints)
    }

    /// One to sixteen pages, in RAM or not far from it.
    func block(_ input: inout FuzzInput) -> (address: UInt64, byteCount: UInt32) {
        let (place, pages) = (UInt64(input.take(UInt8.self)), UInt32(input.take(UInt8.self) % 16 + 1))
        return (place < 0x80 ? place << 12 : Self.highBase + (place & 0x7F) << 12, pages << 12)
    }

    // MARK: The device and the host

    private mutating func serve() {
        let before = isParked ? checksum(content()) : 0
        var steps = 0
        while steps < Self.stepsPerService, device.serve() { steps += 1 }
        for run in discards.take() {
            demand(!isParked, "a parked device gives nothing back")
            demand(inhibitions.isEmpty, "an inhibited balloon gives nothing back")
            if let ringPages { demand(!ringPages.overlaps(run.indices) || expected == nil, "a device keeps its own rings") }
            let (first, end) = (run.first.rawValue << GuestPage.shift, run.end.rawValue << GuestPage.shift)
            expected?.replaceSubrange(first..<end, with: [UInt8](repeating: 0, count: end - first))
        }
        let status = device.status
        let known = device.ballooned.count()
        demand((known...memory.pageCount).contains(status.balloonedPages), "the balloon's pages are counted")
        if isParked { demand(steps == 0 && checksum(content()) == before, "a parked device does nothing") }
        if device.fault != nil { demand(!device.serve(), "a broken device does nothing") }
    }

    private mutating func host(_ what: UInt8) {
        switch what % 8 {
        case 0, 1:
            let id = device.begin(reportingTo: sink)
            demand(id.rawValue >= CommandID.minimum.rawValue, "0 and 1 are no ids")
            unsafe demand(!device.isAvailable || sink.openID == id, "a command is open behind its begin")
        case 2:
            device.stop()
            unsafe demand(sink.openID == nil, "no command is open behind a stop")
        case 3:
            device.done()
            unsafe demand(sink.openID == nil, "no command is open behind done")
            if options.offersHints { demand(transport.read(offset: 0x108, width: 4) == 1, "the guest hears done") }
        case 4: park()
        case 5:
            slot.unpark()
            isParked = false
        case 6: _ = (device.statistics, device.fault, device.poison, transport.fault, device.isAvailable)
        default: device.resetStatistics()
        }
    }

    private mutating func park() {
        slot.park()
        isParked = true
    }

    /// To another process, which has the same RAM.
    private mutating func move() {
        let wasParked = isParked
        park()
        let sections = slot.saveState()
        device.done()
        inhibitions = []
        let (newDevice, newSlot) = Self.makeDevice(memory, options, clock)
        newSlot.park()
        do throws(DeviceStateError) { try newSlot.restoreState(sections) } catch {
            demand(false, "what was saved is restored: \(error)")
        }
        demand(newSlot.saveState()[1] == sections[1], "the device's fields move unchanged")
        demand(newDevice.queuePositions == device.queuePositions || device.fault != nil, "the queues move unchanged")
        if options.offersHints { demand(newSlot.transport!.read(offset: 0x108, width: 4) == 1, "hinting is done after a move") }
        unsafe demand(sink.openID == nil, "no command is open after a move")
        (device, slot) = (newDevice, newSlot)
        if !wasParked { host(5) }
    }

    /// Takes over state that is not what was saved.
    private mutating func moveForeign(_ input: inout FuzzInput) {
        let wasParked = isParked
        park()
        var sections = slot.saveState()
        let before = sections
        for _ in 0..<input.take(UInt8.self) % 8 {
            let index = Int(input.take(UInt8.self)) % sections.count
            var content = sections[index].bytes
            let (place, value): (UInt8, UInt8) = (input.take(), input.take())
            if Int(place) < content.count { content[Int(place)] ^= value } else { content = Array(content.prefix(Int(value))) }
            sections[index] = DeviceSection(name: sections[index].name, version: sections[index].version, bytes: content)
        }
        do throws(DeviceStateError) {
            try slot.restoreState(sections)
            expected = nil
        } catch {
            demand(slot.saveState() == before, "state that is refused changes nothing")
        }
        if !wasParked { host(5) }
    }

    private func content() -> [UInt8] {
        must { try memory.regions.regions.reduce(into: []) { $0 += try memory.read(at: $1.base, byteCount: Int($1.byteCount)) } }
    }

    /// Compared in place of the bytes, each of which libFuzzer would look at.
    private func checksum(_ bytes: [UInt8]) -> UInt32 { CRC32C.of(bytes) }

    /// The device ends, and has written nothing but used rings and what it gave back.
    mutating func finish() {
        host(3)
        serve()
        discards.end()
        guard var expected else { return }
        var found = content()
        for ring in usedRings {
            let zeros = [UInt8](repeating: 0, count: ring.count)
            expected.replaceSubrange(ring, with: zeros)
            found.replaceSubrange(ring, with: zeros)
        }
        demand(checksum(found) == checksum(expected), "a device writes used rings only")
    }
}
