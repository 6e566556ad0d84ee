import Virtio

/// Who answers at which I/O port and at which address outside RAM. Any vCPU may ask at any time.
///
/// Where nobody answers, reads give ones and writes go nowhere, as on a PC's bus.
package struct DeviceBus: Sendable {
    let serial: SerialPort
    let power: PowerControl
    let virtio: [VirtioMMIOTransport]

    // MARK: Ports. Wide accesses reach the ports one by one.

    package func input(port: UInt16, width: Int) -> UInt32 {
        (0..<width).reduce(0) { $0 | UInt32(input(port &+ UInt16($1))) << UInt32(8 * $1) }
    }

    package func output(port: UInt16, width: Int, value: UInt32) {
        for byte in 0..<width { output(port &+ UInt16(byte), UInt8(truncatingIfNeeded: value >> UInt32(8 * byte))) }
    }

    private func input(_ port: UInt16) -> UInt8 {
        if let offset = serialOffset(port) { return serial.read(offset) }
        return PowerControl.ports.contains(port) ? power.read(port: port) : 0xFF
    }

    private func output(_ port: UInt16, _ value: UInt8) {
        if let offset = serialOffset(port) { return serial.write(offset, value) }
        if PowerControl.ports.contains(port) { power.write(port: port, value) }
    }

    private func serialOffset(_ port: UInt16) -> UInt16? {
        let offset = port &- MachineLayout.serialPort
        return offset < SerialPort.portCount ? offset : nil
    }

    // MARK: Memory

    package func read(address: UInt64, width: Int) -> UInt64 {
        guard let (device, offset) = virtioDevice(address) else { return .max }
        return device.read(offset: offset, width: width)
    }

    package func write(address: UInt64, width: Int, value: UInt64) {
        guard let (device, offset) = virtioDevice(address) else { return }
        device.write(offset: offset, width: width, value: value)
    }

    private func virtioDevice(_ address: UInt64) -> (VirtioMMIOTransport, UInt64)? {
        guard address >= MachineLayout.virtioBase else { return nil }
        let (index, offset) = (address - MachineLayout.virtioBase).quotientAndRemainder(dividingBy: MachineLayout.virtioStride)
        return index < UInt64(virtio.count) ? (virtio[Int(index)], offset) : nil
    }
}
