/// Bytes with little-endian fields at offsets that a specification names: a file's header, a table for a guest.
package struct FieldBytes: Hashable, Sendable {
    package private(set) var bytes: [UInt8]

    package init(_ bytes: [UInt8]) { self.bytes = bytes }
    package init(byteCount: Int) { bytes = Array(repeating: 0, count: byteCount) }

    /// The field lies inside: whoever has foreign bytes has looked how many they are.
    package func get<Value: FixedWidthInteger>(_ offset: Int, as _: Value.Type = Value.self) -> Value {
        bytes[offset..<offset + Value.bitWidth / 8].reversed().reduce(0) { $0 << 8 | Value(truncatingIfNeeded: $1) }
    }

    package mutating func set<Value: FixedWidthInteger>(_ offset: Int, _ value: Value) {
        for index in 0..<Value.bitWidth / 8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
    }

    package mutating func set(_ offset: Int, _ part: some Collection<UInt8>) {
        bytes.replaceSubrange(offset..<offset + part.count, with: part)
    }

    package mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        for shift in stride(from: 0, to: Value.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    package mutating func append(_ part: some Collection<UInt8>) { bytes.append(contentsOf: part) }
}
