// The one little-endian codec. It serves the stream, images, device state, and the tables that a guest's firmware would have left.
//
// A guest is paused while other modules write and read its state. The generic functions here only forward, so that they are compiled into
// those modules: a generic function that is called across modules looks up each of its operations in tables, for every byte.

/// Bytes with little-endian fields, in sequence or at offsets that a specification gives.
package struct FieldBytes: Hashable, Sendable {
    package private(set) var bytes: [UInt8]

    package init(_ bytes: [UInt8]) { self.bytes = bytes }
    package init(byteCount: Int) { bytes = Array(repeating: 0, count: byteCount) }

    /// Empty, with room for `capacity` bytes.
    package init(reserving capacity: Int = 64) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    // MARK: In sequence

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

    /// The bytes without a length. The reader must know how many there are.
    package mutating func append(_ more: [UInt8]) { bytes += more }
    package mutating func append(_ more: ArraySlice<UInt8>) { bytes += more }

    /// A length (32 bits), followed by that many bytes.
    package mutating func appendCounted(_ more: [UInt8]) {
        append(word: UInt64(UInt32(more.count)), byteCount: 4)
        bytes += more
    }

    package mutating func appendCounted(_ text: String) { appendCounted(Array(text.utf8)) }

    // MARK: At offsets

    /// Reads a field, which must lie inside: the caller checks the length of foreign bytes first.
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

/// The errors of a field reader, in the terms of its user.
package protocol FieldReadingError: Error {
    /// The bytes end in the middle of a field.
    static func truncated(field: String, offset: Int) -> Self
    /// Bytes are left over.
    static func trailing(byteCount: Int) -> Self
    /// A field has an impossible value.
    static func value(field: String, _ value: UInt64) -> Self
    /// A count or length above its stated maximum.
    static func limit(field: String, value: UInt64, maximum: UInt64) -> Self
}

/// Reads the little-endian fields of foreign bytes in sequence, and never past their end.
package struct FieldReader<Failure: FieldReadingError>: Sendable {
    @usableFromInline var cursor: FieldCursor

    @inlinable
    package init(_ bytes: [UInt8]) { cursor = FieldCursor(bytes: bytes) }

    /// How many bytes are left.
    package var remaining: Int { cursor.remaining }

    /// - Parameter field: its name in error messages.
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

    /// A length (32 bits) of at most `maximum`, followed by that many bytes.
    @inlinable
    package mutating func takeCounted(_ field: String, maximum: Int) throws(Failure) -> [UInt8] {
        let count: UInt32 = try take(field)
        guard UInt64(count) <= UInt64(maximum) else { throw .limit(field: field, value: UInt64(count), maximum: UInt64(maximum)) }
        return try takeBytes(field, count: Int(count))
    }

    /// Foreign text. Characters that cannot be shown are replaced.
    @inlinable
    package mutating func takeCountedText(_ field: String, maximum: Int) throws(Failure) -> String {
        String(foreign: try takeCounted(field, maximum: maximum))
    }

    /// Fails if bytes are left over.
    @inlinable
    package func finish() throws(Failure) {
        guard cursor.remaining == 0 else { throw .trailing(byteCount: cursor.remaining) }
    }
}

/// A reader's position. Not generic, so that its code exists once, in this module.
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
        precondition(offset >= 0 && byteCount <= count - offset, "a field outside the bytes")
        return unsafe withUnsafeBytes { bytes in
            // The sizes of almost all fields take one load each; the others are put together.
            switch byteCount {
            case 2: UInt64(UInt16(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
            case 4: UInt64(UInt32(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            case 8: UInt64(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            default: (0..<byteCount).reversed().reduce(UInt64(0)) { unsafe $0 << 8 | UInt64(bytes[offset + $1]) }
            }
        }
    }
}

extension String {
    /// Text from a peer or a file that people will read. Bytes that are not UTF-8 become replacement characters, and so do control
    /// characters, because a terminal would obey them.
    package init(foreign bytes: some Collection<UInt8>) {
        let scalars = String(decoding: bytes, as: UTF8.self).unicodeScalars
        self.init(UnicodeScalarView(scalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
    }
}
