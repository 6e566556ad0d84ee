import AerostatMicroVM
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

@Suite struct PowerControlTests {
    private let requests = Locked<[PowerControl.Request]>([])
    private let levels = Locked<[Bool]>([])
    private let power: PowerControl

    init() {
        let (requests, levels) = (requests, levels)
        power = PowerControl(
            request: { request in requests.withLock { $0.append(request) } },
            interrupt: { level in levels.withLock { $0.append(level) } }
        )
    }

    @Test func `Only sleep type 5 with the enable bit powers off, and only the reset values reset`() {
        for value in 0...255 as ClosedRange<UInt8> {
            for port in PowerControl.ports { power.write(port: port, value) }
        }
        let off = (0...255 as ClosedRange<UInt8>).filter { $0 & 0x20 != 0 && $0 >> 2 & 7 == 5 }.count
        let seen = requests.withLock { $0 }
        #expect(seen.filter { $0 == .powerOff }.count == off)
        #expect(seen.filter { $0 == .reset }.count == 2)
        for port in PowerControl.ports { #expect(power.read(port: port) == 0) }
    }

    @Test func `A button press is read once, and holds the interrupt line until then`() {
        power.pressPowerButton()
        power.pressPowerButton()
        #expect(levels.withLock { $0 } == [true])
        #expect(power.read(port: MachineLayout.eventPort) == 1)
        #expect(power.read(port: MachineLayout.eventPort) == 0)
        #expect(levels.withLock { $0 } == [true, false])
        power.pressPowerButton()
        #expect(levels.withLock { $0 } == [true, false, true])
    }

    @Test func `A button press that the guest has not read moves with it, and invalid state is refused`() throws {
        power.pressPowerButton()
        let state = DeviceSlot(power).saveState()[0]
        let other = PowerControl(request: { _ in }, interrupt: { _ in })
        let slot = DeviceSlot(other)
        try slot.restoreState([state])
        for bytes in [[], [2], [1, 0]] as [[UInt8]] {
            #expect(throws: DeviceStateError.self) { try slot.restoreState([DeviceSection(name: state.name, version: 1, bytes: bytes)]) }
        }
        #expect(throws: DeviceStateError.version(9)) {
            try slot.restoreState([DeviceSection(name: state.name, version: 9, bytes: state.bytes)])
        }
        #expect(other.read(port: MachineLayout.eventPort) == 1)
    }
}
