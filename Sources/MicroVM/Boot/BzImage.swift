import AerostatHost

/// The header of a bzImage (Documentation/arch/x86/boot.rst of Linux).
struct BzImage: Sendable {
    /// Copied into the boot parameters, at the offset that it has in the file.
    let setupHeader: [UInt8]
    /// The part of the file that is copied into memory.
    let code: KernelCode
    let initrdMaximumAddress: UInt64
    let commandLineMaximum: Int

    static let setupHeaderOffset = 0x1F1
    /// The 64-bit entry point, relative to the address at which the code is loaded.
    private static let longEntryOffset: UInt64 = 0x200
    private static let oldestVersion: UInt16 = 0x020C
    /// How far the header's last field may reach: a single byte holds the length of what follows it.
    private static let maximumHeaderEnd = 0x202 + 0xFF

    /// - Returns: `nil` if the file does not begin like a bzImage.
    init?(_ file: borrowing SourceFile) throws(BootError) {
        let header = try file.header(byteCount: Self.maximumHeaderEnd)
        guard header.bytes.count >= 0x210, header.get(0x1FE, as: UInt16.self) == 0xAA55,
            header.bytes[0x202..<0x206].elementsEqual("HdrS".utf8)
        else { return nil }
        let path = file.path
        func unsuitable(_ reason: String) -> BootError { .unsuitable(path: path, reason: reason) }

        let version: UInt16 = header.get(0x206)
        guard version >= Self.oldestVersion else {
            let minor = version & 0xFF
            throw unsuitable("its boot protocol is \(version >> 8).\(minor / 10)\(minor % 10), too old for a 64-bit entry")
        }
        let headerEnd = 0x202 + Int(header.bytes[0x201])
        // Up to and including init_size.
        guard headerEnd >= 0x264 else { throw unsuitable("its header is too short for its boot protocol") }
        guard header.bytes.count >= headerEnd else { throw .truncated(path: path, byteCount: file.byteCount, needed: UInt64(headerEnd)) }
        let (loadedHigh, kernel64): (UInt8, UInt16) = (1, 1)
        guard header.get(0x211, as: UInt8.self) & loadedHigh != 0 else { throw unsuitable("it is a zImage, which lies below 1 MiB") }
        guard header.get(0x236, as: UInt16.self) & kernel64 != 0 else { throw unsuitable("it has no 64-bit entry") }

        let sectors = header.bytes[0x1F1] == 0 ? 4 : UInt64(header.bytes[0x1F1])
        let start = (sectors + 1) * 512
        let byteCount = UInt64(header.get(0x1F4, as: UInt32.self)) * 16
        guard byteCount > Self.longEntryOffset else { throw unsuitable("it has no code behind its header") }
        guard start + byteCount <= file.byteCount else {
            throw .truncated(path: path, byteCount: file.byteCount, needed: start + byteCount)
        }
        let address: UInt64 = header.get(0x258)
        let runBytes = max(UInt64(header.get(0x260, as: UInt32.self)), byteCount)
        let segment = try KernelSegment(path: path, address: address, fileOffset: start, fileBytes: byteCount, memoryBytes: runBytes)
        code = KernelCode(segments: [segment], end: segment.end, entry: .long64(address + Self.longEntryOffset))
        setupHeader = Array(header.bytes[Self.setupHeaderOffset..<headerEnd])
        initrdMaximumAddress = UInt64(header.get(0x22C, as: UInt32.self))
        commandLineMaximum = Int(header.get(0x238, as: UInt32.self))
    }
}
