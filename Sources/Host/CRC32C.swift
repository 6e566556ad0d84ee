import CLinux

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4). Uses the processor's instruction if there is one.
public struct CRC32C: Hashable, Sendable {
    private var state: UInt32 = ~0

    public init() {}

    /// The checksum of what was added so far.
    public var value: UInt32 { ~state }

    /// The checksum of some bytes.
    public static func of(_ bytes: [UInt8]) -> UInt32 {
        var checksum = CRC32C()
        unsafe checksum.add(bytes.span.bytes)
        return checksum.value
    }

    /// Continues the checksum over more bytes.
    public mutating func add(_ bytes: RawSpan) {
        guard aerostat_has_crc32c() != 0 else { return addPortably(bytes) }
        unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            unsafe state = aerostat_crc32c(state, base.assumingMemoryBound(to: UInt8.self), UInt64(buffer.count))
        }
    }

    /// The checksum of one 4096-byte page, in four interleaved streams if the processor supports that.
    /// - Parameter page: 4096 readable bytes. They may change during the call; each is read once.
    @unsafe package static func ofPage(_ page: UnsafeRawPointer) -> UInt32 {
        if aerostat_has_crc32c_page() != 0 { return unsafe aerostat_crc32c_page(page.assumingMemoryBound(to: UInt8.self)) }
        var checksum = CRC32C()
        unsafe checksum.add(RawSpan(_unsafeStart: page, byteCount: 4096))
        return checksum.value
    }

    /// Adds bytes without the processor's instruction.
    package mutating func addPortably(_ bytes: RawSpan) {
        for offset in bytes.byteOffsets {
            let byte = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            state = Self.table[Int(UInt8(truncatingIfNeeded: state) ^ byte)] ^ (state >> 8)
        }
    }

    /// The reflected polynomial 0x1EDC6F41.
    private static let polynomial: UInt32 = 0x82F6_3B78

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? (crc >> 1) ^ polynomial : crc >> 1 }
    }
}
