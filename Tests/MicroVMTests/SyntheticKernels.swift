import AerostatHost
import AerostatMicroVM
import Foundation

/// Files that exist as long as this object does.
final class KernelFiles: Sendable {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "aerostat-boot-\(UUID())")

    init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: folder) }

    /// - Returns: its path.
    func write(_ bytes: [UInt8], as name: String) throws -> String {
        let url = folder.appending(path: name)
        try Data(bytes).write(to: url)
        return url.path
    }
}

/// The smallest files that a boot loader accepts as kernels.
enum SyntheticKernel {
    static let setupSectors = 3
    static let codeBytes = 0x3000
    static let preferredAddress: UInt64 = 2 << 20
    static let runBytes: UInt32 = 1 << 20
    static let code = (0..<codeBytes).map { UInt8(truncatingIfNeeded: $0 &* 7 ^ $0 >> 8) }

    /// - Parameter change: changes the header before the file is assembled.
    static func bzImage(_ change: (inout FieldBytes) -> Void = { _ in }) -> [UInt8] {
        var setup = FieldBytes(byteCount: (setupSectors + 1) * 512)
        setup.set(0x1F1, UInt8(setupSectors))
        setup.set(0x1F4, UInt32(codeBytes / 16))
        setup.set(0x1FE, UInt16(0xAA55))
        setup.set(0x200, [0xEB, 0x6A])
        setup.set(0x202, "HdrS")
        setup.set(0x206, UInt16(0x020F))
        setup.set(0x211, UInt8(1))
        setup.set(0x22C, UInt32(0x7FFF_FFFF))
        setup.set(0x230, UInt32(1 << 21))
        setup.set(0x236, UInt16(0x7F))
        setup.set(0x238, UInt32(255))
        setup.set(0x258, preferredAddress)
        setup.set(0x260, runBytes)
        change(&setup)
        return setup.bytes + code
    }

    static let elfEntry: UInt64 = 2 << 20 + 0x40
    static let pvhEntry: UInt32 = 2 << 20 + 0x80

    /// Two segments, of which the second has memory beyond its bytes in the file, and a table of notes.
    static func elf(notes: [UInt8] = xenNotes(), _ change: (inout FieldBytes) -> Void = { _ in }) -> [UInt8] {
        let (headers, headerBytes) = (64, 56)
        let notesOffset = headers + 3 * headerBytes
        let codeOffset = 0x1000
        var file = FieldBytes(byteCount: codeOffset)
        file.set(0, [0x7F] + Array("ELF".utf8) + [2, 1, 1])
        file.set(16, UInt16(2))
        file.set(18, UInt16(62))
        file.set(24, elfEntry)
        file.set(32, UInt64(headers))
        file.set(54, UInt16(headerBytes))
        file.set(56, UInt16(3))
        func programHeader(_ index: Int, kind: UInt32, offset: Int, address: UInt64, fileBytes: Int, memoryBytes: Int) {
            let start = headers + index * headerBytes
            file.set(start, kind)
            file.set(start + 8, UInt64(offset))
            file.set(start + 24, address)
            file.set(start + 32, UInt64(fileBytes))
            file.set(start + 40, UInt64(memoryBytes))
        }
        programHeader(0, kind: 1, offset: codeOffset, address: preferredAddress, fileBytes: 0x2000, memoryBytes: 0x2000)
        let rest = codeBytes - 0x2000
        programHeader(1, kind: 1, offset: codeOffset + 0x2000, address: 4 << 20, fileBytes: rest, memoryBytes: 1 << 20)
        programHeader(2, kind: 4, offset: notesOffset, address: 0, fileBytes: notes.count, memoryBytes: notes.count)
        file.set(notesOffset, notes)
        change(&file)
        return file.bytes + code
    }

    /// Another vendor's note, then the one that names the PVH entry.
    static func xenNotes() -> [UInt8] { note("GNU\0", kind: 18, [1, 2, 3]) + note("Xen\0", kind: 18, littleEndian(pvhEntry)) }

    static func note(_ name: String, kind: UInt32, _ content: [UInt8]) -> [UInt8] {
        var note = FieldBytes([])
        note.append(UInt32(name.utf8.count))
        note.append(UInt32(content.count))
        note.append(kind)
        note.append(Array(name.utf8))
        note.append(content)
        while note.bytes.count % 4 != 0 { note.append(UInt8(0)) }
        return note.bytes
    }

    static func littleEndian(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
}
