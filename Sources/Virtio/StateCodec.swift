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

// A guest stands still while its state is written and read, and other modules do that. What is generic here only forwards, so that it is
// compiled into them: called across modules, a generic function looks up each of its operations in tables, for every byte.

/// Writes device state: little-endian integers, one behind the other.
package struct StateWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    @inlinable
    package mutating func put<Value: FixedWidthInteger>(_ value: Value) {
        put(word: UInt64(truncatingIfNeeded: value), byteCount: Value.bitWidth / 8)
    }

    @usableFromInline
    package mutating func put(word: UInt64, byteCount: Int) {
        var rest = word
        for _ in 0..<byteCount {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
    }

    package mutating func put(_ value: Bool) { put(UInt8(value ? 1 : 0)) }

    /// As they are; how many there are is the reader's to know.
    package mutating func put(bytes more: ArraySlice<UInt8>) { bytes += more }
    package mutating func put(bytes more: [UInt8]) { bytes += more }

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

    @inlinable
    package mutating func take<Value: FixedWidthInteger>(_ field: String, _: Value.Type = Value.self) throws(DeviceStateError) -> Value {
        Value(truncatingIfNeeded: try takeWord(field, byteCount: Value.bitWidth / 8))
    }

    /// - Parameter byteCount: at most 8.
    @usableFromInline
    package mutating func takeWord(_ field: String, byteCount: Int) throws(DeviceStateError) -> UInt64 {
        guard bytes.count - offset >= byteCount else { throw .truncated(field: field, offset: offset) }
        var word: UInt64 = 0
        for index in (0..<byteCount).reversed() { word = word << 8 | UInt64(bytes[offset + index]) }
        offset += byteCount
        return word
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
