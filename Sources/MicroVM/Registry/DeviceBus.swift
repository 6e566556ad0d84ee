/// Which device answers at which I/O port, and at which address outside RAM. Any vCPU may access it at any time.
///
/// Where no device answers, reads return all ones and writes are ignored, as on a PC's bus.
package struct DeviceBus: Sendable {
    /// Answers at a range of ports, one byte at a time. Offsets are relative to the first port of the range.
    package struct Ports: Sendable {
        let read: @Sendable (_ offset: UInt16) -> UInt8
        let write: @Sendable (_ offset: UInt16, UInt8) -> Void

        package init(read: @escaping @Sendable (_ offset: UInt16) -> UInt8, write: @escaping @Sendable (_ offset: UInt16, UInt8) -> Void) {
            self.read = read
            self.write = write
        }
    }

    /// Answers at a range of addresses. Offsets are relative to its beginning. An access may reach beyond its end.
    package struct Registers: Sendable {
        let read: @Sendable (_ offset: UInt64, _ width: Int) -> UInt64
        let write: @Sendable (_ offset: UInt64, _ width: Int, _ value: UInt64) -> Void

        package init(
            read: @escaping @Sendable (_ offset: UInt64, _ width: Int) -> UInt64,
            write: @escaping @Sendable (_ offset: UInt64, _ width: Int, _ value: UInt64) -> Void
        ) {
            self.read = read
            self.write = write
        }
    }

    private var ports = RangeMap<Ports>()
    private var registers = RangeMap<Registers>()

    package init() {}

    package mutating func add(_ handler: Ports, at range: Range<UInt16>) {
        ports.insert(UInt64(range.lowerBound)..<UInt64(range.upperBound), handler)
    }

    package mutating func add(_ handler: Registers, at range: Range<UInt64>) { registers.insert(range, handler) }

    // MARK: Ports. Wide accesses reach the ports one by one.

    package func input(port: UInt16, width: Int) -> UInt32 {
        (0..<width).reduce(0) { $0 | UInt32(input(port &+ UInt16($1))) << UInt32(8 * $1) }
    }

    package func output(port: UInt16, width: Int, value: UInt32) {
        for byte in 0..<width { output(port &+ UInt16(byte), UInt8(truncatingIfNeeded: value >> UInt32(8 * byte))) }
    }

    private func input(_ port: UInt16) -> UInt8 {
        guard let (handler, offset) = ports.find(UInt64(port)) else { return 0xFF }
        return handler.read(UInt16(offset))
    }

    private func output(_ port: UInt16, _ value: UInt8) {
        guard let (handler, offset) = ports.find(UInt64(port)) else { return }
        handler.write(UInt16(offset), value)
    }

    // MARK: Memory

    package func read(address: UInt64, width: Int) -> UInt64 {
        guard let (handler, offset) = registers.find(address) else { return .max }
        return handler.read(offset, width)
    }

    package func write(address: UInt64, width: Int, value: UInt64) {
        guard let (handler, offset) = registers.find(address) else { return }
        handler.write(offset, width, value)
    }
}
