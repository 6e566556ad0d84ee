extension SerialPort {
    /// The port's registers and its receive FIFO (National Semiconductor PC16550D data sheet, section 8).
    package struct Registers: Hashable, Sendable {
        static let fifoBytes = 16

        var interruptEnable: UInt8 = 0
        var isFIFOEnabled = false
        /// The two highest bits of the FIFO control register.
        var triggerCode: UInt8 = 0
        var lineControl: UInt8 = 0
        var modemControl: UInt8 = 0
        var scratch: UInt8 = 0
        var divisor: UInt16 = 12  // 9600 baud, as firmware leaves it
        /// The lower half of the modem status register: what changed since the last read.
        var modemChanges: UInt8 = 0
        var hasOverrun = false
        /// The transmitter has become empty, and the guest has not been told yet.
        var isTransmitterInterruptPending = false
        var received: [UInt8] = []

        // Not part of the machine's state: what was last signalled to the outside.
        var level = false
        var pulses = false
        var hasRefusedInput = false
        var isParked = false

        enum Enable { static let received: UInt8 = 1, transmitter: UInt8 = 2, lineStatus: UInt8 = 4, modemStatus: UInt8 = 8 }
        enum Cause {
            static let none: UInt8 = 1, modemStatus: UInt8 = 0, transmitter: UInt8 = 2, received: UInt8 = 4
            static let lineStatus: UInt8 = 6, timeout: UInt8 = 0xC
        }
        enum LineStatus { static let dataReady: UInt8 = 1, overrun: UInt8 = 2, transmitterEmpty: UInt8 = 0x60 }
        enum Modem { static let terminalReady: UInt8 = 1, requestToSend: UInt8 = 2, out1: UInt8 = 4, out2: UInt8 = 8, loop: UInt8 = 0x10 }
        enum ModemStatus { static let clear: UInt8 = 0x10, dataSet: UInt8 = 0x20, ring: UInt8 = 0x40, carrier: UInt8 = 0x80 }
        static let divisorLatch: UInt8 = 0x80

        private var isLoop: Bool { modemControl & Modem.loop != 0 }
        private var hasDivisorLatch: Bool { lineControl & Self.divisorLatch != 0 }
        private var capacity: Int { isFIFOEnabled ? Self.fifoBytes : 1 }

        /// How many input bytes have room now. In loop mode the port takes no input.
        var room: Int { isLoop || isParked ? 0 : capacity - received.count }

        // MARK: Interrupts

        var isInterrupting: Bool { cause != Cause.none }

        /// The most urgent enabled cause.
        private var cause: UInt8 {
            if interruptEnable & Enable.lineStatus != 0, hasOverrun { return Cause.lineStatus }
            if interruptEnable & Enable.received != 0, !received.isEmpty {
                // No more input is on its way, so bytes below the trigger level have waited long enough.
                return !isFIFOEnabled || received.count >= trigger ? Cause.received : Cause.timeout
            }
            if interruptEnable & Enable.transmitter != 0, isTransmitterInterruptPending { return Cause.transmitter }
            if interruptEnable & Enable.modemStatus != 0, modemChanges != 0 { return Cause.modemStatus }
            return Cause.none
        }

        private var trigger: Int { [1, 4, 8, 14][Int(triggerCode)] }

        // MARK: The guest's side

        mutating func read(_ offset: UInt16) -> UInt8 {
            switch offset & 7 {
            case 0 where hasDivisorLatch: return UInt8(truncatingIfNeeded: divisor)
            case 0: return received.isEmpty ? 0 : received.removeFirst()
            case 1: return hasDivisorLatch ? UInt8(divisor >> 8) : interruptEnable
            case 2:
                let cause = cause
                if cause == Cause.transmitter { isTransmitterInterruptPending = false }
                return cause | (isFIFOEnabled ? 0xC0 : 0)
            case 3: return lineControl
            case 4: return modemControl
            case 5:
                defer { hasOverrun = false }
                return LineStatus.transmitterEmpty | (received.isEmpty ? 0 : LineStatus.dataReady) | (hasOverrun ? LineStatus.overrun : 0)
            case 6:
                defer { modemChanges = 0 }
                return modemLines | modemChanges
            default: return scratch
            }
        }

        mutating func write(_ offset: UInt16, _ value: UInt8, output: (UInt8) -> Void) {
            switch offset & 7 {
            case 0 where hasDivisorLatch: divisor = divisor & 0xFF00 | UInt16(value)
            case 0: transmit(value, output)
            case 1 where hasDivisorLatch: divisor = divisor & 0xFF | UInt16(value) << 8
            case 1:
                // A guest that enables this interrupt is told that the transmitter is empty.
                if value & ~interruptEnable & Enable.transmitter != 0 { isTransmitterInterruptPending = true }
                interruptEnable = value & 0xF
            case 2: writeFIFOControl(value)
            case 3: lineControl = value
            case 4:
                let before = modemLines
                modemControl = value & 0x1F
                noteChange(of: before)
            case 5, 6: break  // for factory tests
            default: scratch = value
            }
        }

        private mutating func transmit(_ byte: UInt8, _ output: (UInt8) -> Void) {
            if !isLoop {
                output(byte)
            } else if received.count < capacity {
                received.append(byte)
            } else {
                hasOverrun = true
            }
            isTransmitterInterruptPending = true
            pulses = interruptEnable & Enable.transmitter != 0
        }

        private mutating func writeFIFOControl(_ value: UInt8) {
            let enable = value & 1 != 0
            if enable != isFIFOEnabled || (enable && value & 2 != 0) { received = [] }
            isFIFOEnabled = enable
            // The other bits count only together with this one.
            triggerCode = enable ? value >> 6 : 0
        }

        /// Outside loop mode a peer is always connected and ready.
        private var modemLines: UInt8 {
            guard isLoop else { return ModemStatus.clear | ModemStatus.dataSet | ModemStatus.carrier }
            var lines: UInt8 = 0
            if modemControl & Modem.requestToSend != 0 { lines |= ModemStatus.clear }
            if modemControl & Modem.terminalReady != 0 { lines |= ModemStatus.dataSet }
            if modemControl & Modem.out1 != 0 { lines |= ModemStatus.ring }
            if modemControl & Modem.out2 != 0 { lines |= ModemStatus.carrier }
            return lines
        }

        /// The ring indicator counts only when it falls.
        private mutating func noteChange(of before: UInt8) {
            let changed = before ^ modemLines
            let counted = changed & ~ModemStatus.ring | (changed & before & ModemStatus.ring)
            modemChanges |= counted >> 4
        }

        // MARK: The outside

        mutating func receive(_ bytes: some Collection<UInt8>) -> Int {
            let taken = bytes.prefix(max(room, 0))
            received.append(contentsOf: taken)
            if taken.count < bytes.count { hasRefusedInput = true }
            return taken.count
        }
    }
}
