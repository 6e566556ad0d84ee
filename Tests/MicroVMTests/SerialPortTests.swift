import AerostatMicroVM
import AerostatMigration
import AerostatVirtio
import Synchronization
import TestSupport
import Testing

/// A serial port, the bytes that it sent, and the levels of its interrupt line.
private final class SerialBench: Sendable {
    let sent = Locked<[UInt8]>([])
    let levels = Locked<[Bool]>([])
    let rooms = Locked(0)
    let port: SerialPort

    init() {
        let (sent, levels, rooms) = (sent, levels, rooms)
        port = SerialPort(
            output: { byte in sent.withLock { $0.append(byte) } },
            interrupt: { level in levels.withLock { $0.append(level) } },
            roomForInput: { rooms.withLock { $0 += 1 } }
        )
    }

    var level: Bool { levels.withLock { $0.last ?? false } }
    var output: [UInt8] { sent.withLock { $0 } }
    /// The level changes since the last call.
    func takeLevels() -> [Bool] {
        levels.withLock { levels in
            defer { levels = [] }; return levels
        }
    }
}

@Suite struct SerialPortTests {
    private let bench = SerialBench()
    private var port: SerialPort { bench.port }

    /// Offsets of the registers.
    private enum Register { static let data: UInt16 = 0, enable: UInt16 = 1, identification: UInt16 = 2, lineControl: UInt16 = 3 }
    private enum Modem { static let control: UInt16 = 4, lineStatus: UInt16 = 5, status: UInt16 = 6, scratch: UInt16 = 7 }

    @Test func `Linux detects a 16550A: its probe reads back what it expects`() {
        // drivers/tty/serial/8250/8250_port.c, autoconfig: interrupts off and on, loop mode, FIFO bits.
        port.write(Register.enable, 0)
        #expect(port.read(Register.enable) == 0)
        port.write(Register.enable, 0xF)
        #expect(port.read(Register.enable) == 0xF)
        port.write(Register.enable, 0)
        port.write(Modem.control, 0x1A)
        #expect(port.read(Modem.status) & 0xF0 == 0x90)
        port.write(Modem.control, 0)
        #expect(port.read(Modem.status) & 0xF0 == 0xB0)
        port.write(Register.lineControl, 0xBF)
        port.write(Register.identification, 0)
        port.write(Register.lineControl, 0)
        port.write(Register.identification, 1)
        #expect(port.read(Register.identification) == 0xC1)
        port.write(Modem.scratch, 0x5A)
        #expect(port.read(Modem.scratch) == 0x5A)
        #expect(port.read(Modem.lineStatus) == 0x60)
    }

    @Test func `The divisor hides data and interrupt enable`() {
        port.write(Register.lineControl, 0x83)
        port.write(0, 0x34)
        port.write(1, 0x12)
        #expect(port.read(0) == 0x34 && port.read(1) == 0x12)
        port.write(Register.lineControl, 3)
        #expect(port.read(1) == 0 && bench.output.isEmpty && port.read(Register.lineControl) == 3)
    }

    @Test func `Bytes leave in order, and each one raises its own edge for the empty transmitter`() {
        for byte in "ok\n".utf8 { port.write(0, byte) }
        #expect(bench.output == Array("ok\n".utf8) && bench.takeLevels() == [])
        port.write(Register.enable, 2)
        #expect(bench.takeLevels() == [true])
        #expect(port.read(Register.identification) & 0xF == 2)
        #expect(bench.takeLevels() == [false], "reading the cause clears it")
        #expect(port.read(Register.identification) & 0xF == 1)
        port.write(0, 1)
        port.write(0, 2)
        #expect(bench.takeLevels() == [true, false, true])
    }

    @Test func `The FIFO takes sixteen bytes, and the rest waits outside until the guest has read`() {
        port.write(Register.identification, 1)
        port.write(Register.enable, 1)
        #expect(port.receive(Array(0..<20)) == 16)
        #expect(bench.level && port.receive([99]) == 0)
        #expect(bench.rooms.withLock { $0 } == 0)
        for expected in 0..<16 as Range<UInt8> {
            #expect(port.read(Modem.lineStatus) & 1 == 1)
            #expect(port.read(0) == expected)
        }
        #expect(bench.rooms.withLock { $0 } == 1, "told once, with the first byte of room")
        #expect(!bench.level && port.read(Modem.lineStatus) & 1 == 0 && port.read(0) == 0)
    }

    @Test func `Without the FIFO there is room for one byte`() {
        #expect(port.receive([1, 2]) == 1)
        #expect(port.read(0) == 1)
        #expect(port.receive([3]) == 1)
    }

    @Test(arguments: [(0, 1), (1, 4), (2, 8), (3, 14)] as [(UInt8, Int)])
    func `The interrupt cause distinguishes a full FIFO from one that has waited`(code: UInt8, count: Int) {
        port.write(Register.identification, 1 | code << 6)
        port.write(Register.enable, 1)
        #expect(port.receive([UInt8](repeating: 7, count: count - 1)) == count - 1)
        if count > 1 { #expect(port.read(Register.identification) == 0xCC) }
        #expect(port.receive([7]) == 1)
        #expect(port.read(Register.identification) == 0xC4)
        port.write(Register.identification, 3)
        #expect(port.read(Register.identification) == 0xC1 && !bench.level)
    }

    @Test func `In loop mode bytes come back, outside input is refused, and excess bytes are an overrun`() {
        port.write(Modem.control, 0x10)
        #expect(port.receive([1]) == 0)
        port.write(Register.enable, 5)
        port.write(0, 0x41)
        #expect(port.read(Register.identification) & 0xF == 4)
        port.write(0, 0x42)
        #expect(port.read(Register.identification) & 0xF == 6, "an overrun is more urgent")
        #expect(port.read(Modem.lineStatus) == 0x63)
        #expect(port.read(Modem.lineStatus) == 0x61)
        #expect(port.read(0) == 0x41 && bench.output.isEmpty && !bench.level)
        port.write(Modem.control, 0)
        #expect(bench.rooms.withLock { $0 } == 1)
    }

    @Test func `A change of the modem lines is reported once`() {
        port.write(Register.enable, 8)
        port.write(Modem.control, 0x10)
        #expect(bench.level && port.read(Register.identification) & 0xF == 0)
        #expect(port.read(Modem.status) == 0x0B, "three lines fell")
        #expect(!bench.level && port.read(Modem.status) == 0)
        port.write(Modem.control, 0x14)
        #expect(port.read(Modem.status) == 0x40, "a ring that begins is no change")
        port.write(Modem.control, 0x10)
        #expect(port.read(Modem.status) == 0x04, "one that ends is")
    }

    // MARK: State

    /// Sixteen random accesses.
    private func disturb(_ port: SerialPort, _ random: inout SeededGenerator) {
        for _ in 0..<16 {
            let (offset, value) = (UInt16.random(in: 0..<8, using: &random), UInt8.random(in: 0...255, using: &random))
            switch Int.random(in: 0..<3, using: &random) {
            case 0: port.write(offset, value)
            case 1: _ = port.read(offset)
            default: _ = port.receive([value])
            }
        }
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func `A port that was moved behaves like one that stayed`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        disturb(port, &random)
        let other = SerialBench()
        try DeviceSlot(other.port).restoreState(DeviceSlot(port).saveState())
        #expect(other.level == bench.level)
        #expect(other.port.saveState() == port.saveState())
        for _ in 0..<20 {
            var again = random
            disturb(port, &random)
            disturb(other.port, &again)
            #expect(other.port.saveState() == port.saveState() && other.level == bench.level)
        }
    }

    @Test(arguments: 0...14)
    func `Hostile state is refused, and changes nothing`(offset: Int) throws {
        port.write(Register.identification, 1)
        _ = port.receive([1, 2, 3])
        let slot = DeviceSlot(port)
        let good = slot.saveState()[0]
        #expect(throws: DeviceStateError.version(2)) {
            try slot.restoreState([DeviceSection(name: good.name, version: 2, bytes: good.bytes)])
        }
        #expect(throws: DeviceStateError.self) {
            try slot.restoreState([DeviceSection(name: good.name, version: 1, bytes: Array(good.bytes.prefix(offset)))])
        }
        #expect(throws: DeviceStateError.self) {
            try slot.restoreState([DeviceSection(name: good.name, version: 1, bytes: good.bytes + [0])])
        }
        // Each byte gets its highest value. That is refused unless the byte may have any value.
        let free = [3, 5, 6, 7, 12, 13, 14]
        var bytes = good.bytes
        bytes[offset] = 0xFF
        if !free.contains(offset) {
            #expect(throws: DeviceStateError.self) { try slot.restoreState([DeviceSection(name: good.name, version: 1, bytes: bytes)]) }
        }
        #expect(slot.saveState()[0] == good)
    }
}
