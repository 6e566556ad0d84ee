import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import TestSupport
import Testing

@Suite struct ForeignTextTests {
    @Test func `A terminal obeys no foreign text: control characters are replaced`() throws {
        var header = ImageHeader(id: .random(), begun: 1, regions: regionTable(pages: 10), creator: "\u{1b}[31mEvil\r\n é")
        header.isComplete = true
        let read = try ImageHeader(decoding: header.encode(), fileBytes: header.fileBytes)
        #expect(read.creator == "\u{FFFD}[31mEvil\u{FFFD}\u{FFFD} é")
        var writer = FieldBytes()
        writer.appendCounted("a\u{7}b\u{9b}c")
        var reader = StreamReader(writer.bytes)
        #expect(try reader.takeCountedText("name", maximum: 64) == "a\u{FFFD}b\u{FFFD}c")
    }
}
