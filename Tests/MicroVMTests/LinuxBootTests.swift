import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import Foundation
import Testing

@Suite struct LinuxBootTests {
    private let files: KernelFiles
    init() throws { files = try KernelFiles() }

    private func machine(_ memory: UInt64 = 16 << 20) throws -> GuestRAM { try GuestRAM(MachineLayout.regions(memory: memory)) }

    private func boot(_ kernel: [UInt8], initrd: [UInt8]? = nil, commandLine: String = "") throws -> LinuxBoot {
        let initrdPath = try initrd.map { try files.write($0, as: "initrd") }
        return try LinuxBoot(kernelPath: files.write(kernel, as: "kernel"), initrdPath: initrdPath, commandLine: commandLine)
    }

    private func load(_ kernel: [UInt8], initrd: [UInt8]? = nil, commandLine: String = "", _ memory: GuestRAM) throws -> BootEntry {
        try boot(kernel, initrd: initrd, commandLine: commandLine).load(into: memory, vcpus: 1, devices: SerialPort.nodes)
    }

    private func text(at address: UInt64, _ memory: GuestRAM) throws -> String {
        let bytes = try memory.read(at: GuestAddress(address), byteCount: 256)
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    // MARK: bzImage

    @Test func `A bzImage starts at its 64-bit entry, with parameters that name everything that was loaded`() throws {
        let memory = try machine()
        let initrd = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
        let entry = try load(SyntheticKernel.bzImage(), initrd: initrd, commandLine: "console=ttyS0 quiet", memory)
        #expect(entry.mode == .long64(pageTables: BootLayout.pageTables))
        #expect(entry.instruction == SyntheticKernel.preferredAddress + 0x200)
        #expect(entry.rsi == BootLayout.bootParameters.rawValue)
        #expect(
            try memory.read(at: GuestAddress(SyntheticKernel.preferredAddress), byteCount: SyntheticKernel.codeBytes)
                == SyntheticKernel.code
        )

        let page = FieldBytes(try memory.read(at: BootLayout.bootParameters, byteCount: 4096))
        #expect(page.get(0x202, as: UInt32.self) == 0x5372_6448, "the setup header is there")
        #expect(page.get(0x210, as: UInt8.self) == 0xFF)
        #expect(page.get(0x070, as: UInt64.self) == BootLayout.acpiTables.rawValue)
        #expect(try text(at: UInt64(page.get(0x228, as: UInt32.self)), memory) == "console=ttyS0 quiet")
        let address = UInt64(page.get(0x218, as: UInt32.self))
        #expect(page.get(0x21C, as: UInt32.self) == 5000)
        #expect(
            address % 4096 == 0 && address + 5000 <= 16 << 20
                && address >= SyntheticKernel.preferredAddress + UInt64(SyntheticKernel.runBytes)
        )
        #expect(try memory.read(at: GuestAddress(address), byteCount: 5000) == initrd)
    }

    @Test func `A jump to the absent firmware resets the machine`() throws {
        let memory = try machine()
        _ = try load(SyntheticKernel.bzImage(), memory)
        // mov al, 0xFE; out 0x64, al; hlt; jmp back to hlt
        #expect(try memory.read(at: GuestAddress(0xFFFF0), byteCount: 7) == [0xB0, 0xFE, 0xE6, 0x64, 0xF4, 0xEB, 0xFD])
    }

    /// Address and length.
    private struct Usable: Hashable {
        var address: UInt64
        var byteCount: UInt64
    }

    private func usable(_ table: FieldBytes, offset: Int, stride: Int, count: Int) -> [Usable] {
        (0..<count).compactMap { index in
            let start = offset + index * stride
            return table.get(start + 16, as: UInt32.self) == 1 ? Usable(address: table.get(start), byteCount: table.get(start + 8)) : nil
        }
    }

    @Test(arguments: [16 << 20, 3 << 30, 5 << 30] as [UInt64])
    func `Both kinds of boot parameters name the same RAM, around the hole`(bytes: UInt64) throws {
        let memory = try machine(bytes)
        _ = try load(SyntheticKernel.bzImage(), memory)
        let page = FieldBytes(try memory.read(at: BootLayout.bootParameters, byteCount: 4096))
        let map = usable(page, offset: 0x2D0, stride: 20, count: Int(page.get(0x1E8, as: UInt8.self)))
        var expected = [Usable(address: 0, byteCount: 0x9FC00), Usable(address: 1 << 20, byteCount: min(bytes, 3 << 30) - 1 << 20)]
        if bytes > 3 << 30 { expected.append(Usable(address: 4 << 30, byteCount: bytes - 3 << 30)) }
        #expect(map == expected)

        _ = try load(SyntheticKernel.elf(), memory)
        let info = FieldBytes(try memory.read(at: BootLayout.startInfo, byteCount: 4096))
        let offset = Int(info.get(40, as: UInt64.self) - BootLayout.startInfo.rawValue)
        #expect(usable(info, offset: offset, stride: 24, count: Int(info.get(48, as: UInt32.self))) == expected)
    }

    @Test func `A file that is no kernel, or no suitable one, is refused in one line`() throws {
        typealias Change = (inout FieldBytes) -> Void
        let changes: [(String, Change)] = [
            ("neither", { $0.set(0x202, "HdrT") }), ("neither", { $0.set(0x1FE, UInt16(0)) }),
            ("2.11", { $0.set(0x206, UInt16(0x020B)) }), ("64-bit entry", { $0.set(0x236, UInt16(2)) }),
            ("zImage", { $0.set(0x211, UInt8(0)) }), ("no code", { $0.set(0x1F4, UInt32(0)) }),
            ("too short", { $0.set(0x201, UInt8(0x10)) }), ("0x80000", { $0.set(0x258, UInt64(0x80000)) }),
            ("0xffffffffffffffff", { $0.set(0x258, UInt64.max) }), ("cut off", { $0.set(0x1F4, UInt32.max) }),
            ("cut off", { $0.set(0x1F1, UInt8(255)) }), ("too little memory", { $0.set(0x260, UInt32.max) }),
            ("too little memory", { $0.set(0x258, UInt64(1) << 40) }),
        ]
        let memory = try machine()
        for (word, change) in changes {
            let error = try #require(throws: BootError.self) { try load(SyntheticKernel.bzImage(change), memory) }
            #expect("\(error)".contains(word), "\(error)")
            #expect(!"\(error)".contains("\n"))
        }
    }

    @Test(arguments: [SyntheticKernel.bzImage(), SyntheticKernel.elf()])
    func `A kernel that is truncated anywhere is refused without a trap`(kernel: [UInt8]) throws {
        for count in Array(stride(from: 0, to: 0x300, by: 15)) + [0x20F, 0x210, 0x7FF, 0x800, 0x1000, kernel.count - 1] {
            #expect(throws: BootError.self, "\(count) bytes") { _ = try boot(Array(kernel.prefix(count))) }
        }
    }

    @Test func `Files that cannot be read say why`() throws {
        let kernel = try files.write(SyntheticKernel.bzImage(), as: "kernel")
        for (kernel, initrd) in [("/nonexistent", nil), ("/tmp", nil), (kernel, "/nonexistent"), (kernel, "/dev/zero")]
            as [(String, String?)]
        {
            #expect(throws: BootError.self) { _ = try LinuxBoot(kernelPath: kernel, initrdPath: initrd, commandLine: "") }
        }
    }

    @Test func `The kernel's own limit applies to the command line`() throws {
        let memory = try machine()
        let longest = String(repeating: "x", count: 255)
        _ = try load(SyntheticKernel.bzImage(), commandLine: longest, memory)
        #expect(try text(at: BootLayout.commandLine.rawValue, memory) == longest)
        #expect(throws: BootError.commandLineTooLong(byteCount: 256, maximum: 255)) {
            _ = try boot(SyntheticKernel.bzImage(), commandLine: longest + "x")
        }
        #expect(throws: BootError.commandLineTooLong(byteCount: 2048, maximum: 2047)) {
            _ = try boot(SyntheticKernel.elf(), commandLine: String(repeating: "x", count: 2048))
        }
        // The kernel's number is foreign input too: a command line that has no room is refused.
        let boundless = SyntheticKernel.bzImage { $0.set(0x238, UInt32.max) }
        _ = try boot(boundless, commandLine: String(repeating: "x", count: 65535))
        #expect(throws: BootError.commandLineTooLong(byteCount: 65536, maximum: 65535)) {
            _ = try boot(boundless, commandLine: String(repeating: "x", count: 65536))
        }
        #expect(throws: BootError.commandLineHasZero) { _ = try boot(SyntheticKernel.bzImage(), commandLine: "a\0b") }
    }

    @Test func `Memory must have room for the kernel and the initrd`() throws {
        let end = SyntheticKernel.preferredAddress + UInt64(SyntheticKernel.runBytes)
        #expect(throws: BootError.memoryTooSmall(byteCount: end - 4096, needed: end)) {
            _ = try load(SyntheticKernel.bzImage(), machine(end - 4096))
        }
        _ = try load(SyntheticKernel.bzImage(), machine(end))
        _ = try load(SyntheticKernel.bzImage(), initrd: Array(repeating: 1, count: 8192), machine(end + 8192))
        let error = try #require(throws: BootError.self) {
            try load(SyntheticKernel.bzImage(), initrd: Array(repeating: 1, count: 8193), machine(end + 8192))
        }
        guard case .initrdTooLarge(_, byteCount: 8193, room: 8192) = error else { throw error }
        guard case .emptyInitrd? = #expect(throws: BootError.self, performing: { _ = try boot(SyntheticKernel.bzImage(), initrd: []) })
        else {
            Issue.record("an empty initrd")
            return
        }
    }

    @Test(arguments: [UInt32(0x5F_FFFF), 0x7FFF_FFFF, 0xFFFF_FFFF])
    func `An initrd stays below the kernel's limit, and below the hole`(limit: UInt32) throws {
        let memory = try machine(5 << 30)
        _ = try load(SyntheticKernel.bzImage { $0.set(0x22C, limit) }, initrd: Array(repeating: 1, count: 100), memory)
        let page = FieldBytes(try memory.read(at: BootLayout.bootParameters, byteCount: 4096))
        let end = min(UInt64(limit) + 1, 3 << 30)
        #expect(UInt64(page.get(0x218, as: UInt32.self)) == end - 4096)
    }

    private static let distributionKernel = ProcessInfo.processInfo.environment["AEROSTAT_TEST_KERNEL"]

    @Test(
        .enabled(if: distributionKernel != nil, "AEROSTAT_TEST_KERNEL names no kernel (bzImage)")
    )
    func `A distribution's kernel is accepted, and loaded where its header asks for`() throws {
        let path = try #require(Self.distributionKernel)
        let memory = try machine(512 << 20)
        let entry = try LinuxBoot(kernelPath: path, initrdPath: path, commandLine: "console=ttyS0").load(
            into: memory,
            vcpus: 2,
            devices: SerialPort.nodes
        )
        let header = try FieldBytes([UInt8](Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped).prefix(0x300)))
        #expect(entry.instruction == header.get(0x258, as: UInt64.self) + 0x200)
        let code = try memory.read(at: GuestAddress(header.get(0x258)), byteCount: 4096)
        #expect(Set(code).count > 100, "code, not zeros")
    }

    // MARK: ELF

    @Test func `An ELF kernel with the note starts at its 32-bit PVH entry, with start information`() throws {
        let memory = try machine()
        let entry = try load(SyntheticKernel.elf(), initrd: [9, 8, 7], commandLine: "quiet", memory)
        #expect(entry.mode == .protected32)
        #expect(entry.instruction == UInt64(SyntheticKernel.pvhEntry))
        #expect(entry.rbx == BootLayout.startInfo.rawValue)
        #expect(try memory.read(at: GuestAddress(2 << 20), byteCount: 0x2000) == Array(SyntheticKernel.code.prefix(0x2000)))
        #expect(try memory.read(at: GuestAddress(4 << 20), byteCount: 0x1000) == Array(SyntheticKernel.code.dropFirst(0x2000)))
        let info = FieldBytes(try memory.read(at: BootLayout.startInfo, byteCount: 256))
        #expect(info.get(0, as: UInt32.self) == 0x336E_C578)
        #expect(info.get(4, as: UInt32.self) == 1)
        #expect(try text(at: info.get(24), memory) == "quiet")
        #expect(info.get(32, as: UInt64.self) == BootLayout.acpiTables.rawValue)
        #expect(info.get(12, as: UInt32.self) == 1)
        let module = FieldBytes(try memory.read(at: GuestAddress(info.get(16)), byteCount: 32))
        #expect(module.get(8, as: UInt64.self) == 3)
        #expect(try memory.read(at: GuestAddress(module.get(0)), byteCount: 3) == [9, 8, 7])
    }

    @Test(
        arguments: [
            [], SyntheticKernel.note("Xen\0", kind: 17, [1, 2, 3, 4]), SyntheticKernel.note("Xen\0", kind: 18, [1, 2, 3]),
            SyntheticKernel.note("Xem\0", kind: 18, [1, 2, 3, 4]), Array(SyntheticKernel.xenNotes().dropLast(1)),
            Array(repeating: 0xFF, count: 64),
        ] as [[UInt8]]
    )
    func `Without a valid note the 64-bit entry is used`(notes: [UInt8]) throws {
        let memory = try machine()
        let entry = try load(SyntheticKernel.elf(notes: notes), memory)
        #expect(entry.mode == .long64(pageTables: BootLayout.pageTables) && entry.instruction == SyntheticKernel.elfEntry)
        let page = FieldBytes(try memory.read(at: BootLayout.bootParameters, byteCount: 4096))
        #expect(page.get(0x202, as: UInt32.self) == 0x5372_6448)
    }

    @Test func `ELF files that are no kernels, or have false headers, are refused`() throws {
        let segment = 64 + 56
        let changes: [(String, (inout FieldBytes) -> Void)] = [
            ("neither", { $0.set(1, [0x65]) }), ("x86-64", { $0.set(4, [1]) }), ("x86-64", { $0.set(18, UInt16(183)) }),
            ("x86-64", { $0.set(16, UInt16(1)) }), ("program headers", { $0.set(56, UInt16(0)) }),
            ("program headers", { $0.set(56, UInt16(65)) }), ("program headers", { $0.set(54, UInt16(32)) }),
            ("cut off", { $0.set(32, UInt64.max) }), ("cut off", { $0.set(segment + 8, UInt64.max - 1) }),
            ("larger in the file than in memory", { $0.set(segment + 40, UInt64(1)) }), ("at 0x0", { $0.set(segment + 24, UInt64(0)) }),
            ("at 0xffffffffffffffff", { $0.set(segment + 24, UInt64.max) }), ("wants", { $0.set(segment + 40, UInt64.max) }),
            (
                "in none",
                {
                    $0.set(64 + 2 * 56, UInt32(0)); $0.set(24, UInt64(0))
                }
            ),
            ("too little memory", { $0.set(segment + 24, UInt64(1) << 32) }),
        ]
        let memory = try machine()
        for (word, change) in changes {
            let error = try #require(throws: BootError.self) { try load(SyntheticKernel.elf(change), memory) }
            #expect("\(error)".contains(word), "\(error)")
        }
    }
}
