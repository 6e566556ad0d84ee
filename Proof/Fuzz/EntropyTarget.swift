import AerostatEntropy
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio

/// A hostile driver of the entropy device: the input is a program of descriptors, indices, register accesses, and what the host does
/// meanwhile. The device has no thread of its own here, and its random bytes are all 0xEE.
enum EntropyTarget: FuzzTarget {
    private static let maximumOperations = 256

    static func run(_ input: [UInt8]) {
        var input = FuzzInput(input)
        var machine = HostileEntropyMachine(logarithm: input.take())
        var operations = 0
        while input.remaining > 0, operations < maximumOperations {
            machine.perform(&input)
            operations += 1
        }
        machine.finish()
    }
}

/// A guest of 128 KiB in two regions. Its ring is at the beginning of RAM; buffers may be in the second half of the first region.
struct HostileEntropyMachine {
    private static let lowBytes: UInt64 = 96 << 10
    private static let highBase: UInt64 = 0x1_0000_0000
    private static let buffers: UInt64 = 48 << 10
    private static let regions = must {
        try RegionTable([
            MemoryRegion(base: GuestAddress(0), byteCount: lowBytes),
            MemoryRegion(base: GuestAddress(highBase), byteCount: 32 << 10),
        ])
    }
    private static let stepsPerService = 256

    private let memory = must { try GuestRAM(regions) }
    private let size: UInt16
    private let host = Host()
    private var device: EntropyDevice
    private var slot: DeviceSlot
    private var isParked = false
    private var available: UInt16 = 0
    /// Whether the program kept to descriptors that name buffers: then nothing else may change.
    private var isOrderly = true

    /// What the host's random numbers do.
    private final class Host: Sendable {
        // The fuzzer has one thread.
        nonisolated(unsafe) var isEmpty = false
        var source: @Sendable (Int) -> [UInt8]? {
            { count in unsafe self.isEmpty ? nil : [UInt8](repeating: 0xEE, count: count) }
        }
    }

    init(logarithm: UInt8) {
        size = 1 << UInt16(logarithm % 7)
        (device, slot) = Self.makeDevice(memory, host)
    }

    private static func makeDevice(_ memory: GuestRAM, _ host: Host) -> (EntropyDevice, DeviceSlot) {
        let device = must { try EntropyDevice(memory, source: host.source, hasThread: false) { _ in } }
        return (device, DeviceSlot(device, memory))
    }

    private var layout: VirtqueueLayout { VirtqueueLayout(size: size, contiguousAt: GuestAddress(0)) }
    private var transport: VirtioMMIOTransport { slot.transport! }

    // MARK: The program

    mutating func perform(_ input: inout FuzzInput) {
        switch input.take(UInt8.self) % 12 {
        case 0: start()
        case 1, 2: describe(&input)
        case 3, 4: publish(head: UInt16(input.take(UInt8.self)) % (size + 2))
        case 5: store(littleEndian(input.take(UInt16.self)), layout.driverArea.rawValue + 2)
        case 6:
            // Any place of the ring, also the descriptors.
            isOrderly = false
            store(input.take(atMost: Int(input.take(UInt8.self)) % 32), UInt64(input.take(UInt16.self)) % 0x1000)
        case 7:
            isOrderly = false
            let registers = VirtioMMIO.Register.allCases
            transport.write(registers[Int(input.take(UInt8.self)) % registers.count], input.take())
        case 8: serve()
        case 9: unsafe host.isEmpty.toggle()
        case 10: isParked ? unpark() : park()
        default: move(&input)
        }
    }

    private mutating func start() {
        available = 0
        store([UInt8](repeating: 0, count: VirtqueueLayout.contiguousByteCount(size: size)), 0)
        demand(transport.negotiate([.version1]), "the device takes VERSION_1")
        transport.setUp(queue: 0, layout)
        transport.driverOK()
    }

    private func describe(_ input: inout FuzzInput) {
        let index = UInt64(input.take(UInt8.self)) % UInt64(size)
        let (kind, place): (UInt8, UInt16) = (input.take(), input.take())
        // A buffer, one that reaches over the end of the region, or one that is nowhere. None reaches the ring.
        let address =
            kind % 4 < 3 ? Self.buffers + UInt64(place) % (Self.lowBytes - Self.buffers) : Self.highBase &+ 0x8000 &+ UInt64(place) << 40
        let length = kind % 8 == 7 ? input.take(UInt32.self) : UInt32(input.take(UInt16.self))
        let (flags, next) = (UInt16(input.take(UInt8.self) & 3), UInt16(input.take(UInt8.self)) % (size + 1))
        store(littleEndian(address) + littleEndian(length) + littleEndian(flags) + littleEndian(next), 16 * index)
    }

    private mutating func publish(head: UInt16) {
        store(littleEndian(head), layout.driverArea.rawValue + 4 + 2 * UInt64(available % size))
        available &+= 1
        store(littleEndian(available), layout.driverArea.rawValue + 2)
        transport.write(.queueNotify, 0)
        serve()
    }

    private func store(_ content: [UInt8], _ address: UInt64) {
        if !content.isEmpty { must { try memory.write(content, at: GuestAddress(address)) } }
    }

    // MARK: The device and the host

    private func serve() {
        let before = isParked ? CRC32C.of(content()) : 0
        var steps = 0
        while steps < Self.stepsPerService, device.serve() { steps += 1 }
        if isParked { demand(steps == 0 && CRC32C.of(content()) == before, "a parked device does nothing") }
        if device.fault != nil { demand(!device.serve(), "a broken device does nothing") }
        // While the host has nothing to give, a request waits for ever.
        if unsafe !host.isEmpty { demand(steps < Self.stepsPerService, "a ring has an end") }
    }

    private mutating func park() {
        slot.park()
        isParked = true
    }

    private mutating func unpark() {
        slot.unpark()
        isParked = false
    }

    /// To another process that has the same RAM; first with state that somebody changed.
    private mutating func move(_ input: inout FuzzInput) {
        let wasParked = isParked
        park()
        let sections = slot.saveState()
        let (newDevice, newSlot) = Self.makeDevice(memory, host)
        newSlot.park()
        var forged = sections
        let (place, value): (UInt8, UInt8) = (input.take(), input.take())
        if Int(place) < forged[0].bytes.count, value != 0 {
            var bytes = forged[0].bytes
            bytes[Int(place)] ^= value
            forged[0] = DeviceSection(name: forged[0].name, version: forged[0].version, bytes: bytes)
            let before = newSlot.saveState()
            do throws(DeviceStateError) { try newSlot.restoreState(forged) } catch {
                demand(newSlot.saveState() == before, "state that is refused changes nothing")
            }
        }
        do throws(DeviceStateError) { try newSlot.restoreState(sections) } catch {
            // The driver may have written over its ring's place meanwhile, but the place is the same.
            demand(false, "what was saved is restored: \(error)")
        }
        demand(newSlot.saveState() == sections || device.fault != nil, "the device moves unchanged")
        (device, slot) = (newDevice, newSlot)
        if !wasParked { unpark() }
    }

    private func content() -> [UInt8] {
        must { try memory.regions.regions.reduce(into: []) { $0 += try memory.read(at: $1.base, byteCount: Int($1.byteCount)) } }
    }

    /// Nothing but the ring and the buffers has changed, and in a buffer there are random bytes or what was there.
    mutating func finish() {
        serve()
        guard isOrderly else { return }
        for (place, byte) in content().enumerated() where place >= 0x2000 {
            let isBuffer = place >= Int(Self.buffers) && place < Int(Self.lowBytes)
            if byte != 0 { demand(isBuffer && byte == 0xEE, "byte \(place) became \(byte)") }
        }
    }
}
