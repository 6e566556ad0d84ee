import AerostatHost
import TestSupport
import Testing

@Suite struct CRC32CTests {
    /// RFC 3720, appendix B.4. The last one is the check value of the catalogue of CRCs.
    static let vectors: [(bytes: [UInt8], crc: UInt32)] = [
        ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
        ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
        (Array(0..<32), 0x46DD_794E),
        (Array((0..<32).reversed()), 0x113F_DB5C),
        (Array("123456789".utf8), 0xE306_9283),
        ([], 0),
    ]

    @Test(arguments: vectors)
    func `Known vectors, by the processor and by the table`(bytes: [UInt8], crc: UInt32) {
        var fast = CRC32C()
        unsafe fast.add(bytes.span.bytes)
        #expect(fast.value == crc)
        var portable = CRC32C()
        unsafe portable.addPortably(bytes.span.bytes)
        #expect(portable.value == crc)
    }

    @Test func `Pieces give the same checksum as the whole`() {
        var random = SeededGenerator(seed: 3)
        let bytes = (0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }
        var whole = CRC32C()
        unsafe whole.addPortably(bytes.span.bytes)
        var pieced = CRC32C()
        var position = 0
        while position < bytes.count {
            let next = min(bytes.count, position + Int.random(in: 0...37, using: &random))
            unsafe pieced.add(Array(bytes[position..<next]).span.bytes)
            position = next
        }
        #expect(pieced == whole)
    }

    @Test(arguments: 0..<50 as Range<UInt64>)
    func `A page in four streams gives the same checksum as the table`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        // Seed 0 is the page of zeros, seed 1 has one bit.
        var bytes = [UInt8](repeating: 0, count: 4096)
        if seed == 1 { bytes[Int.random(in: 0..<4096, using: &random)] = 1 }
        if seed > 1 { for index in bytes.indices { bytes[index] = .random(in: 0...255, using: &random) } }
        var portable = CRC32C()
        unsafe portable.addPortably(bytes.span.bytes)
        #expect(unsafe bytes.withUnsafeBytes { unsafe CRC32C.ofPage($0.baseAddress!) } == portable.value)
    }
}
