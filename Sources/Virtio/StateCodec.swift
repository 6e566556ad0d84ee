/// Why saved device state is not acceptable. It is foreign input.
public enum DeviceStateError: Error, Hashable, Sendable, CustomStringConvertible {
    case missing(section: String)
    case version(UInt32)
    /// The bytes end before a field does.
    case truncated(field: String, offset: Int)
    /// Bytes are left over.
    case trailing(byteCount: Int)
    case value(field: String, UInt64)
    case queue(index: Int, VirtqueueError)

    public var description: String {
        switch self {
        case .missing(let section): "the device state has no section \(section)"
        case .version(let version): "device state of version \(version) is not known"
        case .truncated(let field, let offset): "device state ends in \(field) at byte \(offset)"
        case .trailing(let count): "device state has \(count) bytes too many"
        case .value(let field, let value): "device state has an impossible \(field): \(value)"
        case .queue(let index, let error): "device state, queue \(index): \(error)"
        }
    }
}

/// Writes device state: little-endian integers, one behind the other.
package struct StateWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func put<Value: FixedWidthInteger>(_ value: Value) {
        for shift in stride(from: 0, to: Value.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    package mutating func put(_ value: Bool) { put(UInt8(value ? 1 : 0)) }

    /// As they are; how many there are is the reader's to know.
    package mutating func put(bytes more: some Sequence<UInt8>) { bytes += more }

    package mutating func put(_ position: VirtqueuePosition?) {
        put(position != nil)
        put(position?.nextAvailable ?? 0)
        put(position?.nextUsed ?? 0)
    }
}

/// Reads device state, never beyond its end.
package struct StateReader: Sendable {
    private let bytes: [UInt8]
    private var offset = 0

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    package mutating func take<Value: FixedWidthInteger>(_ field: String, _: Value.Type = Value.self) throws(DeviceStateError) -> Value {
        let count = Value.bitWidth / 8
        guard bytes.count - offset >= count else { throw .truncated(field: field, offset: offset) }
        var value: Value = 0
        for index in 0..<count { value |= Value(truncatingIfNeeded: bytes[offset + index]) << (8 * index) }
        offset += count
        return value
    }

    package mutating func takeFlag(_ field: String) throws(DeviceStateError) -> Bool {
        let value: UInt8 = try take(field)
        guard value <= 1 else { throw .value(field: field, UInt64(value)) }
        return value == 1
    }

    package mutating func takeBytes(_ field: String, count: Int) throws(DeviceStateError) -> [UInt8] {
        guard count >= 0, bytes.count - offset >= count else { throw .truncated(field: field, offset: offset) }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    package mutating func takePosition() throws(DeviceStateError) -> VirtqueuePosition? {
        let isPresent = try takeFlag("queue position")
        let position = VirtqueuePosition(nextAvailable: try take("next available"), nextUsed: try take("next used"))
        return isPresent ? position : nil
    }

    package func finish() throws(DeviceStateError) {
        guard offset == bytes.count else { throw .trailing(byteCount: bytes.count - offset) }
    }
}
