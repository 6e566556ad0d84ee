import AerostatHost

/// A kernel's code and data: where each part goes, and where execution begins.
struct KernelCode: Sendable {
    enum Entry: Hashable, Sendable {
        /// The 32-bit PVH entry.
        case pvh(UInt64)
        /// The Linux boot protocol's 64-bit entry.
        case long64(UInt64)

        var address: UInt64 {
            switch self {
            case .pvh(let address), .long64(let address): address
            }
        }
    }

    let segments: [KernelSegment]
    /// The end of the memory that the kernel needs when it starts.
    let end: UInt64
    let entry: Entry
}

/// A piece of a kernel's file, and the memory into which it is copied.
struct KernelSegment: Hashable, Sendable {
    let address: UInt64
    let fileOffset: UInt64
    let fileBytes: UInt64
    /// Includes memory that is zero at the start.
    let memoryBytes: UInt64

    var end: UInt64 { address + memoryBytes }

    /// Physical addresses have 52 bits.
    private static let maximumAddress: UInt64 = 1 << 52

    /// Checks that the segment lies above 1 MiB and inside the address space.
    init(path: String, address: UInt64, fileOffset: UInt64, fileBytes: UInt64, memoryBytes: UInt64) throws(BootError) {
        guard address >= BootLayout.highMemoryStart, address < Self.maximumAddress, memoryBytes < Self.maximumAddress else {
            throw .unsuitable(path: path, reason: "it wants \(memoryBytes) bytes of memory at 0x\(String(address, radix: 16))")
        }
        self.address = address
        self.fileOffset = fileOffset
        self.fileBytes = fileBytes
        self.memoryBytes = memoryBytes
    }
}

extension SourceFile {
    /// The first bytes of the file: as many as wanted, or fewer if the file is shorter.
    func header(byteCount: Int) throws(BootError) -> FieldBytes {
        try bytes(at: 0, byteCount: Int(min(UInt64(byteCount), self.byteCount)))
    }

    /// Reads bytes that lie inside the file.
    func bytes(at offset: UInt64, byteCount: Int) throws(BootError) -> FieldBytes {
        var bytes: [UInt8] = Array(repeating: 0, count: byteCount)
        do throws(SystemError) { try read(at: offset, into: &bytes, 0..<byteCount) } catch { throw .file(error) }
        return FieldBytes(bytes)
    }
}
