/// Builds the body of a frame, little-endian.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init(reserving capacity: Int = 64) { bytes.reserveCapacity(capacity) }

    public mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        for shift in stride(from: 0, to: Value.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> Value(shift)))
        }
    }

    public mutating func append(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    /// A length (32 bits) and that many bytes.
    public mutating func appendCounted(_ more: [UInt8]) {
        append(UInt32(more.count))
        bytes.append(contentsOf: more)
    }

    public mutating func appendCounted(_ text: String) { appendCounted(Array(text.utf8)) }
}

/// Reads the body of a frame; every read is checked against what is there.
public struct ByteReader: Sendable {
    private let bytes: [UInt8]
    private var position = 0

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    public var remaining: Int { bytes.count - position }

    public mutating func read<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws(StreamError) -> Value {
        let width = Value.bitWidth / 8
        guard remaining >= width else { throw .malformed("\(width) bytes wanted, \(remaining) there") }
        var value: Value = 0
        for index in 0..<width { value |= Value(truncatingIfNeeded: bytes[position + index]) << Value(index * 8) }
        position += width
        return value
    }

    public mutating func read(count: Int) throws(StreamError) -> [UInt8] {
        guard count >= 0, remaining >= count else { throw .malformed("\(count) bytes wanted, \(remaining) there") }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    /// A length (32 bits) of at most `maximum`, and that many bytes.
    public mutating func readCounted(_ what: String, maximum: Int) throws(StreamError) -> [UInt8] {
        let count = try read(UInt32.self)
        guard count <= maximum else { throw .limit(what, value: UInt64(count), maximum: UInt64(maximum)) }
        return try read(count: Int(count))
    }

    /// Foreign text; what cannot be shown is replaced.
    public mutating func readCountedText(_ what: String, maximum: Int) throws(StreamError) -> String {
        String(foreign: try readCounted(what, maximum: maximum))
    }

    /// Nothing may be left over.
    public func finish() throws(StreamError) {
        if remaining != 0 { throw .malformed("\(remaining) bytes too many") }
    }
}

extension String {
    /// Text that a peer or a file says, and that people will read: what is not UTF-8 becomes replacement characters, and so do control
    /// characters, which a terminal would obey.
    init(foreign bytes: some Collection<UInt8>) {
        let scalars = String(decoding: bytes, as: UTF8.self).unicodeScalars
        self.init(UnicodeScalarView(scalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
    }
}
