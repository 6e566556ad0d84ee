import AerostatHost
import Testing

/// The errors of a reader in these tests.
private enum Fault: FieldReadingError, Hashable {
    case truncated(field: String, offset: Int)
    case trailing(byteCount: Int)
    case value(field: String, UInt64)
    case limit(field: String, value: UInt64, maximum: UInt64)
}

private typealias Reader = FieldReader<Fault>

@Suite struct FieldBytesTests {
    @Test func `Fields are little-endian, in sequence or at offsets, and are read as they were written`() throws {
        var fields = FieldBytes()
        fields.append(UInt16(0x0201))
        fields.append(UInt64(0x0A09_0807_0605_0403))
        fields.append(Int32(-2))
        fields.append(true)
        fields.append([0xEE, 0xFF])
        fields.appendCounted("é")
        #expect(fields.bytes == Array(1...10) + [0xFE, 0xFF, 0xFF, 0xFF, 1, 0xEE, 0xFF, 2, 0, 0, 0, 0xC3, 0xA9])
        #expect(fields.get(2, as: UInt32.self) == 0x0605_0403)
        var reader = Reader(fields.bytes)
        #expect(try reader.take("a", UInt16.self) == 0x0201)
        #expect(try reader.take("b", UInt64.self) == 0x0A09_0807_0605_0403)
        #expect(try reader.take("c", Int32.self) == -2)
        #expect(try reader.takeFlag("d"))
        #expect(try reader.takeBytes("e", count: 2) == [0xEE, 0xFF])
        #expect(try reader.takeCountedText("f", maximum: 2) == "é")
        try reader.finish()
    }

    @Test func `Setting a field at an offset changes nothing else`() {
        var fields = FieldBytes(byteCount: 8)
        fields.set(1, UInt16(0xBEEF))
        fields.set(4, "ab")
        fields.set(7, [9])
        #expect(fields.bytes == [0, 0xEF, 0xBE, 0, 0x61, 0x62, 0, 9])
    }

    @Test func `Bytes that are too short, too long or impossible are errors that name field and offset`() throws {
        var reader = Reader([1, 2, 3, 4, 5])
        _ = try reader.take("first", UInt32.self)
        #expect(throws: Fault.truncated(field: "second", offset: 4)) { try reader.take("second", UInt16.self) }
        #expect(throws: Fault.truncated(field: "bytes", offset: 4)) { try reader.takeBytes("bytes", count: 2) }
        #expect(throws: Fault.truncated(field: "bytes", offset: 4)) { try reader.takeBytes("bytes", count: -1) }
        #expect(throws: Fault.trailing(byteCount: 1)) { try reader.finish() }
        #expect(throws: Fault.value(field: "flag", 5)) { try reader.takeFlag("flag") }
        try reader.finish()
        var counted = Reader([9, 0, 0, 0, 1])
        #expect(throws: Fault.limit(field: "text", value: 9, maximum: 8)) { try counted.takeCounted("text", maximum: 8) }
        var long = Reader([9, 0, 0, 0, 1])
        #expect(throws: Fault.truncated(field: "text", offset: 4)) { try long.takeCounted("text", maximum: 9) }
    }
}
