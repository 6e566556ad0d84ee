// The one little-endian codec: of the stream, of images, of device state, of the tables that a guest's firmware would have left.
//
// A guest stands still while its state is written and read, and other modules do that. What is generic here only forwards, so that it is
// compiled into them: called across modules, a generic function looks up each of its operations in tables, for every byte.

/// Bytes with little-endian fields, one behind the other or at offsets that a specification names.
package struct FieldBytes: Hashable, Sendable {
    package private(set) var bytes: [UInt8]

    package init(_ bytes: [UInt8]) { self.bytes = bytes }
    package init(byteCount: Int) { bytes = Array(repeating: 0, count: byteCount) }

    /// Nothing yet, with room for so many bytes.
    package init(reserving capacity: Int = 64) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    // MARK: One behind the other

    @inlinable
    package mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        append(word: UInt64(truncatingIfNeeded: value), byteCount: Value.bitWidth / 8)
    }

    @usableFromInline
    package mutating func append(word: UInt64, byteCount: Int) {
        var rest = word
        for _ in 0..<byteCount {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
    }

    /// One byte, 0 or 1.
    package mutating func append(_ value: Bool) { bytes.append(value ? 1 : 0) }

    /// As they are; how many there are is the reader's to know.
    package mutating func append(_ more: [UInt8]) { bytes += more }
    package mutating func append(_ more: ArraySlice<UInt8>) { bytes += more }

    /// A length (32 bits) and that many bytes.
    package mutating func appendCounted(_ more: [UInt8]) {
        append(word: UInt64(UInt32(more.count)), byteCount: 4)
        bytes += more
    }

    package mutating func appendCounted(_ text: String) { appendCounted(Array(text.utf8)) }

    // MARK: At offsets

    /// The field lies inside: whoever has foreign bytes has looked how many they are.
    @inlinable
    package func get<Value: FixedWidthInteger>(_ offset: Int, as _: Value.Type = Value.self) -> Value {
        Value(truncatingIfNeeded: word(at: offset, byteCount: Value.bitWidth / 8))
    }

    @usableFromInline
    package func word(at offset: Int, byteCount: Int) -> UInt64 { bytes.littleEndianWord(at: offset, byteCount: byteCount) }

    @inlinable
    package mutating func set<Value: FixedWidthInteger>(_ offset: Int, _ value: Value) {
        set(offset, word: UInt64(truncatingIfNeeded: value), byteCount: Value.bitWidth / 8)
    }

    @usableFromInline
    package mutating func set(_ offset: Int, word: UInt64, byteCount: Int) {
        for index in 0..<byteCount { bytes[offset + index] = UInt8(truncatingIfNeeded: word >> UInt64(8 * index)) }
    }

    package mutating func set(_ offset: Int, _ part: [UInt8]) { bytes.replaceSubrange(offset..<offset + part.count, with: part) }
    package mutating func set(_ offset: Int, _ text: String) { set(offset, Array(text.utf8)) }
}

/// How a reader of fields says what is wrong with them, in the words of who reads.
package protocol FieldReadingError: Error {
    /// The bytes end before a field does.
    static func truncated(field: String, offset: Int) -> Self
    /// Bytes are left over.
    static func trailing(byteCount: Int) -> Self
    /// A field that cannot have this value.
    static func value(field: String, _ value: UInt64) -> Self
    /// A count or length above its stated maximum.
    static func limit(field: String, value: UInt64, maximum: UInt64) -> Self
}

/// Reads little-endian fields of foreign bytes, one behind the other and never beyond their end.
package struct FieldReader<Failure: FieldReadingError>: Sendable {
    @usableFromInline var cursor: FieldCursor

    @inlinable
    package init(_ bytes: [UInt8]) { cursor = FieldCursor(bytes: bytes) }

    /// How many bytes are left.
    package var remaining: Int { cursor.remaining }

    /// - Parameter field: what it is called where the error is read.
    @inlinable
    package mutating func take<Value: FixedWidthInteger>(_ field: String, _: Value.Type = Value.self) throws(Failure) -> Value {
        guard let word = cursor.word(byteCount: Value.bitWidth / 8) else { throw .truncated(field: field, offset: cursor.offset) }
        return Value(truncatingIfNeeded: word)
    }

    /// A byte, 0 or 1.
    @inlinable
    package mutating func takeFlag(_ field: String) throws(Failure) -> Bool {
        let value: UInt8 = try take(field)
        guard value <= 1 else { throw .value(field: field, UInt64(value)) }
        return value == 1
    }

    @inlinable
    package mutating func takeBytes(_ field: String, count: Int) throws(Failure) -> [UInt8] {
        guard let bytes = cursor.bytes(count: count) else { throw .truncated(field: field, offset: cursor.offset) }
        return bytes
    }

    /// A length (32 bits) of at most `maximum`, and that many bytes.
    @inlinable
    package mutating func takeCounted(_ field: String, maximum: Int) throws(Failure) -> [UInt8] {
        let count: UInt32 = try take(field)
        guard UInt64(count) <= UInt64(maximum) else { throw .limit(field: field, value: UInt64(count), maximum: UInt64(maximum)) }
        return try takeBytes(field, count: Int(count))
    }

    /// Foreign text; what cannot be shown is replaced.
    @inlinable
    package mutating func takeCountedText(_ field: String, maximum: Int) throws(Failure) -> String {
        String(foreign: try takeCounted(field, maximum: maximum))
    }

    /// Nothing may be left over.
    @inlinable
    package func finish() throws(Failure) {
        guard cursor.remaining == 0 else { throw .trailing(byteCount: cursor.remaining) }
    }
}

/// Where a reader stands. Not generic: its code is in this module, once.
@usableFromInline
struct FieldCursor: Sendable {
    private let all: [UInt8]
    @usableFromInline private(set) var offset = 0

    @usableFromInline init(bytes: [UInt8]) { all = bytes }

    @usableFromInline var remaining: Int { all.count - offset }

    /// - Parameter byteCount: at most 8.
    @usableFromInline
    mutating func word(byteCount: Int) -> UInt64? {
        guard remaining >= byteCount else { return nil }
        defer { offset += byteCount }
        return all.littleEndianWord(at: offset, byteCount: byteCount)
    }

    @usableFromInline
    mutating func bytes(count: Int) -> [UInt8]? {
        guard count >= 0, remaining >= count else { return nil }
        defer { offset += count }
        return Array(all[offset..<offset + count])
    }
}

extension [UInt8] {
    /// - Parameter byteCount: at most 8.
    fileprivate func littleEndianWord(at offset: Int, byteCount: Int) -> UInt64 {
        var word: UInt64 = 0
        for index in (0..<byteCount).reversed() { word = word << 8 | UInt64(self[offset + index]) }
        return word
    }
}

extension String {
    /// Text that a peer or a file says, and that people will read: what is not UTF-8 becomes replacement characters, and so do control
    /// characters, which a terminal would obey.
    package init(foreign bytes: some Collection<UInt8>) {
        let scalars = String(decoding: bytes, as: UTF8.self).unicodeScalars
        self.init(UnicodeScalarView(scalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
    }
}
