import AerostatMicroVM
import Testing

@Suite struct AMLTests {
    @Test func `An integer takes the shortest form`() {
        let expected: [(UInt64, [UInt8])] = [
            (0, [0]), (1, [1]), (2, [0x0A, 2]), (0xFF, [0x0A, 0xFF]), (0x100, [0x0B, 0, 1]), (0xFFFF, [0x0B, 0xFF, 0xFF]),
            (0x1_0000, [0x0C, 0, 0, 1, 0]), (0x1_0000_0000, [0x0E, 0, 0, 0, 0, 1, 0, 0, 0]),
        ]
        for (value, bytes) in expected { #expect(AML.integer(value) == bytes) }
    }

    @Test func `Paths are segments of four characters, with the prefix that their number requires`() {
        #expect(AML.path("_SB") == Array("_SB_".utf8))
        #expect(AML.path("\\_SB.PWRB") == [0x5C, 0x2E] + Array("_SB_PWRB".utf8))
        #expect(AML.path("A.B.C") == [0x2F, 3] + Array("A___B___C___".utf8))
    }

    @Test func `A compressed identifier matches the standard's example`() {
        #expect(AML.compressedID("PNP0501") == [0x0C, 0x41, 0xD0, 0x05, 0x01])
        #expect(AML.compressedID("PNP0C0C") == [0x0C, 0x41, 0xD0, 0x0C, 0x0C])
    }

    @Test(arguments: [0, 40, 57, 58, 59, 4000, 4088, 4089, 4090, 5000])
    func `A length counts itself, in one to three bytes`(count: Int) throws {
        // A scope's content: five bytes of name, and a string of this length.
        let term = AML.scope("\\X", [UInt8](repeating: 0, count: count))
        let more = Int(term[1] >> 6)
        let length = more == 0 ? Int(term[1]) : term[2..<2 + more].reversed().reduce(0) { $0 << 8 | Int($1) } << 4 | Int(term[1] & 0xF)
        #expect(length == term.count - 1)
        #expect(term.count == 1 + 1 + more + 5 + count)
        if more > 0 { #expect(length > (more == 1 ? 0x3F : 0xFFF)) }
    }

    @Test func `Resources are encoded as the standard's descriptors, with an end tag`() {
        let memory: [UInt8] = [0x86, 9, 0, 1, 0, 0, 0, 0xD0, 0, 0x10, 0, 0]
        let interrupt: [UInt8] = [0x89, 6, 0, 3, 1, 5, 0, 0, 0]
        let bytes = memory + interrupt + [0x79, 0]
        let resources = AML.resources([.memory(base: 0xD000_0000, byteCount: 0x1000), .interrupt(5)])
        #expect(resources == [0x11, UInt8(bytes.count + 3), 0x0A, UInt8(bytes.count)] + bytes)
    }
}
