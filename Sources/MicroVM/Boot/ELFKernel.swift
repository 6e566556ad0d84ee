import AerostatHost

/// An uncompressed kernel as an ELF file, "vmlinux" (System V ABI, chapter 4; Documentation of Xen, "x86/HVM direct boot ABI").
struct ELFKernel: Sendable {
    let code: KernelCode

    private static let headerBytes = 64
    private static let programHeaderBytes = 56
    /// Kernels have about five.
    private static let maximumProgramHeaders = 64
    /// Kernels have a few hundred bytes.
    private static let maximumNoteBytes: UInt64 = 1 << 16
    private static let machineX8664: UInt16 = 62
    private static let (load, note): (UInt32, UInt32) = (1, 4)
    /// XEN_ELFNOTE_PHYS32_ENTRY: the physical address of the 32-bit entry.
    private static let physicalEntryNote: UInt32 = 18

    /// - Returns: `nil` if the file does not begin like an ELF file.
    init?(_ file: borrowing SourceFile) throws(BootError) {
        let header = try file.header(byteCount: Self.headerBytes)
        guard header.bytes.starts(with: [0x7F] + "ELF".utf8) else { return nil }
        let path = file.path
        guard header.bytes.count == Self.headerBytes else {
            throw .truncated(path: path, byteCount: file.byteCount, needed: UInt64(Self.headerBytes))
        }
        let (class64, littleEndian, executable): (UInt8, UInt8, UInt16) = (2, 1, 2)
        guard header.bytes[4] == class64, header.bytes[5] == littleEndian, header.get(18, as: UInt16.self) == Self.machineX8664,
            header.get(16, as: UInt16.self) == executable
        else { throw .unsuitable(path: path, reason: "it is an ELF file, but no 64-bit executable for x86-64") }
        let count = Int(header.get(56, as: UInt16.self))
        guard (1...Self.maximumProgramHeaders).contains(count), header.get(54, as: UInt16.self) == UInt16(Self.programHeaderBytes) else {
            throw .unsuitable(path: path, reason: "its ELF header names \(count) program headers")
        }

        let table = try Self.part(of: file, at: header.get(32), byteCount: UInt64(count * Self.programHeaderBytes))
        var segments: [KernelSegment] = []
        var pvhEntry: UInt64?
        for start in stride(from: 0, to: table.bytes.count, by: Self.programHeaderBytes) {
            let (offset, fileBytes, memoryBytes): (UInt64, UInt64, UInt64) =
                (table.get(start + 8), table.get(start + 32), table.get(start + 40))
            switch table.get(start, as: UInt32.self) {
            case Self.load where memoryBytes > 0:
                guard fileBytes <= memoryBytes else {
                    throw .unsuitable(path: path, reason: "a segment is larger in the file than in memory")
                }
                try Self.expect(offset, fileBytes, in: file)
                segments.append(
                    try KernelSegment(
                        path: path,
                        address: table.get(start + 24),
                        fileOffset: offset,
                        fileBytes: fileBytes,
                        memoryBytes: memoryBytes
                    )
                )
            case Self.note where fileBytes <= Self.maximumNoteBytes:
                let notes = try Self.part(of: file, at: offset, byteCount: fileBytes)
                pvhEntry = pvhEntry ?? Self.pvhEntry(in: notes)
            default: break
            }
        }
        let entry = pvhEntry.map(KernelCode.Entry.pvh) ?? .long64(header.get(24))
        guard let end = segments.map(\.end).max(), segments.contains(where: { ($0.address..<$0.end).contains(entry.address) }) else {
            throw .unsuitable(path: path, reason: "its entry 0x\(String(entry.address, radix: 16)) is in none of its segments")
        }
        code = KernelCode(segments: segments, end: end, entry: entry)
    }

    /// Parses the notes. Each has the lengths of its name and content, its kind, then name and content, padded to whole 32-bit words.
    private static func pvhEntry(in notes: FieldBytes) -> UInt64? {
        var position = 0
        while notes.bytes.count - position >= 12 {
            let nameBytes = Int(notes.get(position, as: UInt32.self))
            let contentBytes = Int(notes.get(position + 4, as: UInt32.self))
            let nameStart = position + 12
            let contentStart = nameStart + (nameBytes + 3) & ~3
            guard contentStart + contentBytes <= notes.bytes.count else { return nil }
            if notes.get(position + 8) == physicalEntryNote,
                notes.bytes[nameStart..<nameStart + nameBytes].elementsEqual(Array("Xen\0".utf8))
            {
                switch contentBytes {
                case 4: return UInt64(notes.get(contentStart, as: UInt32.self))
                case 8: return notes.get(contentStart)
                default: break
                }
            }
            position = contentStart + (contentBytes + 3) & ~3
        }
        return nil
    }

    private static func part(of file: borrowing SourceFile, at offset: UInt64, byteCount: UInt64) throws(BootError) -> FieldBytes {
        try expect(offset, byteCount, in: file)
        return try file.bytes(at: offset, byteCount: Int(byteCount))
    }

    private static func expect(_ offset: UInt64, _ byteCount: UInt64, in file: borrowing SourceFile) throws(BootError) {
        let (end, isTooLarge) = offset.addingReportingOverflow(byteCount)
        guard !isTooLarge, end <= file.byteCount else {
            throw .truncated(path: file.path, byteCount: file.byteCount, needed: isTooLarge ? .max : end)
        }
    }
}
