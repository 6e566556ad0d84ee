import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import Foundation
import Testing

/// The tables, as a guest finds them.
private struct FoundTables {
    var byName: [String: [UInt8]] = [:]

    init(_ memory: GuestRAM, root: GuestAddress) throws {
        let pointer = FieldBytes(try memory.read(at: root, byteCount: 36))
        #expect(String(decoding: pointer.bytes.prefix(8), as: UTF8.self) == "RSD PTR ")
        #expect(pointer.bytes.prefix(20).reduce(0, &+) == 0 && pointer.bytes.reduce(0, &+) == 0)
        #expect(root.rawValue % 16 == 0 && pointer.bytes[15] == 2)
        try add(at: pointer.get(24), memory)
        let list = FieldBytes(try #require(byName["XSDT"]))
        for offset in stride(from: 36, to: list.bytes.count, by: 8) { try add(at: list.get(offset), memory) }
        try add(at: FieldBytes(try #require(byName["FACP"])).get(140), memory)
    }

    private mutating func add(at address: UInt64, _ memory: GuestRAM) throws {
        let length = Int(try memory.load(UInt32.self, at: GuestAddress(address + 4)))
        let table = try memory.read(at: GuestAddress(address), byteCount: length)
        let name = String(decoding: table.prefix(4), as: UTF8.self)
        #expect(table.reduce(0, &+) == 0, "the checksum of \(name)")
        #expect(address >= 0xE0000 && address + UInt64(length) <= 1 << 20)
        byName[name] = table
    }
}

@Suite struct ACPITablesTests {
    private static func tables(vcpus: Int, virtioDevices: Int) throws -> FoundTables {
        let memory = try GuestRAM(MachineLayout.regions(memory: 1 << 20))
        let virtio = zip(0..<virtioDevices, MachineLayout.virtioInterrupts).map { place, interrupt in
            let base = MachineLayout.virtioBase + UInt64(place) * MachineLayout.virtioStride
            return AML.virtioDevice(place, base: base, byteCount: MachineLayout.virtioStride, interrupt: interrupt)
        }
        #expect(virtio.count == virtioDevices)
        let devices = SerialPort.nodes + PowerControl.nodes + virtio
        return try FoundTables(memory, root: ACPITables.write(into: memory, vcpus: vcpus, devices: devices))
    }

    @Test func `The fixed table declares hardware-reduced ACPI, and where sleep and reset are`() throws {
        let table = FieldBytes(try #require(try Self.tables(vcpus: 1, virtioDevices: 1).byName["FACP"]))
        #expect(table.bytes.count == 276 && table.bytes[8] == 6)
        let flags: UInt32 = table.get(112)
        #expect(flags & 1 << 20 != 0 && flags & 1 << 10 != 0 && flags & 1 << 4 != 0)
        for (offset, port) in [(116, MachineLayout.resetPort), (244, MachineLayout.sleepControlPort), (256, MachineLayout.sleepStatusPort)]
        {
            #expect(Array(table.bytes[offset..<offset + 4]) == [1, 8, 0, 1])
            #expect(table.get(offset + 4, as: UInt64.self) == UInt64(port))
        }
        #expect(table.bytes[128] == MachineLayout.resetValue)
        #expect(table.get(40, as: UInt32.self) == UInt32(table.get(140, as: UInt64.self)))
    }

    @Test(arguments: [1, 2, 16, 255])
    func `Every vCPU has its local APIC, and there is one IOAPIC`(count: Int) throws {
        let table = FieldBytes(try #require(try Self.tables(vcpus: count, virtioDevices: 0).byName["APIC"]))
        #expect(table.get(36, as: UInt32.self) == 0xFEE0_0000 && table.get(40, as: UInt32.self) == 0)
        var identifiers: [UInt8] = []
        var controllers: [UInt32] = []
        var offset = 44
        while offset < table.bytes.count {
            switch table.bytes[offset] {
            case 0 where table.get(offset + 4, as: UInt32.self) == 1: identifiers.append(table.bytes[offset + 3])
            case 1: controllers.append(table.get(offset + 4))
            default: Issue.record("entry \(table.bytes[offset])")
            }
            offset += Int(table.bytes[offset + 1])
        }
        #expect(offset == table.bytes.count)
        #expect(identifiers == (0..<count).map(UInt8.init) && controllers == [0xFEC0_0000])
    }

    private static let compiler = ["/usr/bin/iasl", "/usr/local/bin/iasl"].first { FileManager.default.isExecutableFile(atPath: $0) }

    private func run(_ program: String, _ arguments: String...) throws -> String {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        (process.standardOutput, process.standardError) = (pipe, pipe)
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        let text = String(decoding: output, as: UTF8.self)
        #expect(process.terminationStatus == 0, "\(text)")
        return text
    }

    @Test(
        .enabled(if: compiler != nil, "iasl (Debian: acpica-tools) is not installed"),
        arguments: [0, 1, 4, 18]
    )
    func `The reference compiler decompiles our devices, and compiles the result to the same bytes`(devices: Int) throws {
        let program = try #require(Self.compiler)
        let files = try KernelFiles()
        let tables = try Self.tables(vcpus: 2, virtioDevices: devices)
        let dsdt = try #require(tables.byName["DSDT"])
        let binary = try files.write(dsdt, as: "dsdt.dat")
        let stem = String(binary.dropLast(4))
        _ = try run(program, "-d", binary)
        let text = try String(contentsOfFile: stem + ".dsl", encoding: .utf8)
        for (words, count) in [
            ("Name (_HID, \"LNRO0005\")", devices), ("Memory32Fixed (ReadWrite", devices), ("EisaId (\"PNP0501\")", 1),
            ("EisaId (\"PNP0C0C\")", 1), ("Name (_HID, \"ACPI0013\"", 1), ("Notify (\\_SB.PWRB, 0x80)", 1),
            ("Method (_EVT, 1, Serialized)", 1),
            ("Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive", devices + 2), ("Name (\\_S5, Package (0x02)", 1),
        ] { #expect(text.components(separatedBy: words).count - 1 == count, "\(words)\n\(text)") }
        let log = try run(program, "-oa", "-p", stem + "-again", stem + ".dsl")
        #expect(log.contains(" 0 Errors") || log.contains("Compilation successful. 0 Errors"), "\(log)")
        let again = try [UInt8](Data(contentsOf: URL(fileURLWithPath: stem + "-again.aml")))
        #expect(Array(again.dropFirst(36)) == Array(dsdt.dropFirst(36)))
        for name in ["FACP", "APIC", "XSDT"] {
            let path = try files.write(try #require(tables.byName[name]), as: name + ".dat")
            _ = try run(program, "-d", path)
            let text = try String(contentsOfFile: String(path.dropLast(4)) + ".dsl", encoding: .utf8)
            #expect(!text.contains("Invalid") && !text.contains("Unknown") && !text.contains("Incorrect"), "\(text)")
        }
    }
}
