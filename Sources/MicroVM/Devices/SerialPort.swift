import Synchronization

/// A 16550A serial port, for the console.
///
/// The transmitter is always empty, because each byte from the guest leaves at once. Input waits in a FIFO of sixteen bytes until the guest
/// reads it. Any vCPU may call at any time. The closures are called under the port's lock, which keeps bytes and levels in order; they must
/// not call back.
package final class SerialPort: Sendable {
    /// How many I/O ports it uses.
    package static let portCount: UInt16 = 8

    private let registers = Mutex(Registers())
    private let output: @Sendable (UInt8) -> Void
    private let interrupt: @Sendable (Bool) -> Void
    private let roomForInput: @Sendable () -> Void

    /// - Parameters:
    ///   - output: takes a byte that the guest sent.
    ///   - interrupt: sets the level of the interrupt line. Called when the level changes, and at a restore.
    ///   - roomForInput: called when `receive` can take more, after a call that could not take everything.
    package init(
        output: @escaping @Sendable (UInt8) -> Void,
        interrupt: @escaping @Sendable (Bool) -> Void,
        roomForInput: @escaping @Sendable () -> Void = {}
    ) {
        self.output = output
        self.interrupt = interrupt
        self.roomForInput = roomForInput
    }

    /// The guest reads a port.
    /// - Parameter offset: relative to the first of its ports; 0 to 7.
    package func read(_ offset: UInt16) -> UInt8 { change { $0.read(offset) } }

    /// The guest writes to a port.
    package func write(_ offset: UInt16, _ value: UInt8) { change { $0.write(offset, value, output: output) } }

    /// For the bus.
    package var portHandlers: [(Range<UInt16>, DeviceBus.Ports)] {
        let first = MachineLayout.serialPort
        return [(first..<first + Self.portCount, DeviceBus.Ports(read: { self.read($0) }, write: { self.write($0, $1) }))]
    }

    /// Offers input to the guest.
    /// - Returns: how many bytes had room, counted from the first. The caller keeps the others until `roomForInput`. 0 while the port is
    ///   parked, because its state may have been saved already.
    package func receive(_ bytes: some Collection<UInt8>) -> Int { change { $0.receive(bytes) } }

    // MARK: Standing still

    package func park() { registers.withLock { $0.isParked = true } }

    /// Asks for input again.
    package func unpark() {
        registers.withLock { registers in
            registers.isParked = false
            roomForInput()
        }
    }

    /// Drops waiting input and the interrupt.
    package func reset() { restore(Registers()) }

    private func change<Result>(_ body: (inout Registers) -> Result) -> Result {
        registers.withLock { registers in
            let result = body(&registers)
            if registers.pulses {
                // The line falls and rises again: an edge-triggered interrupt controller needs to see that.
                registers.pulses = false
                if registers.level { interrupt(false) }
                registers.level = false
            }
            if registers.level != registers.isInterrupting {
                registers.level.toggle()
                interrupt(registers.level)
            }
            if registers.hasRefusedInput, registers.room > 0 {
                registers.hasRefusedInput = false
                roomForInput()
            }
            return result
        }
    }

    // MARK: State

    var snapshot: Registers { registers.withLock { $0 } }

    /// Takes over another port's registers, drives the line, and asks for input again.
    func restore(_ restored: Registers) {
        registers.withLock { registers in
            let isParked = registers.isParked
            registers = restored
            registers.isParked = isParked
            registers.level = restored.isInterrupting
            interrupt(registers.level)
            roomForInput()
        }
    }
}
