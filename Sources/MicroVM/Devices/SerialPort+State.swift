import AerostatHost
package import AerostatMigration
package import AerostatVirtio

// The section "serial": the registers in the order of their declaration, one byte each (the divisor has two), then the number of received
// bytes, then those bytes.
extension SerialPort: MachineDevice {
    package static let identity = DeviceIdentity(name: "serial", version: 1)

    package var identity: DeviceIdentity { Self.identity }
    package var requirements: [DeviceSection] { [] }

    package func saveState() -> [UInt8] {
        let registers = snapshot
        var writer = FieldBytes()
        writer.append(registers.interruptEnable)
        writer.append(registers.isFIFOEnabled)
        writer.append(registers.triggerCode)
        writer.append(registers.lineControl)
        writer.append(registers.modemControl)
        writer.append(registers.scratch)
        writer.append(registers.divisor)
        writer.append(registers.modemChanges)
        writer.append(registers.hasOverrun)
        writer.append(registers.isTransmitterInterruptPending)
        writer.append(UInt8(registers.received.count))
        for byte in registers.received { writer.append(byte) }
        return writer.bytes
    }

    /// Applying the state drives the interrupt line, so the interrupt controllers' state must be in place before.
    package func decodeState(_ bytes: [UInt8], version: UInt32) throws(DeviceStateError) -> DeviceRestoration {
        guard version == Self.identity.version else { throw .version(version) }
        var reader = StateReader(bytes)
        var registers = Registers()
        registers.interruptEnable = try reader.take("serial interrupt enable", upTo: 0xF)
        registers.isFIFOEnabled = try reader.takeFlag("serial FIFO enable")
        registers.triggerCode = try reader.take("serial trigger", upTo: registers.isFIFOEnabled ? 3 : 0)
        registers.lineControl = try reader.take("serial line control")
        registers.modemControl = try reader.take("serial modem control", upTo: 0x1F)
        registers.scratch = try reader.take("serial scratch")
        registers.divisor = try reader.take("serial divisor")
        registers.modemChanges = try reader.take("serial modem status", upTo: 0xF)
        registers.hasOverrun = try reader.takeFlag("serial overrun")
        registers.isTransmitterInterruptPending = try reader.takeFlag("serial transmitter interrupt")
        let count = try reader.take("serial received bytes", upTo: UInt8(registers.isFIFOEnabled ? Registers.fifoBytes : 1))
        for _ in 0..<count { registers.received.append(try reader.take("serial received byte")) }
        try reader.finish()
        return DeviceRestoration { [self, registers] in restore(registers) }
    }
}

extension StateReader {
    /// Takes a byte that must not exceed a maximum.
    mutating func take(_ field: String, upTo maximum: UInt8) throws(DeviceStateError) -> UInt8 {
        let value: UInt8 = try take(field)
        guard value <= maximum else { throw .value(field: field, UInt64(value)) }
        return value
    }
}
