package import AerostatGuestMemory
import AerostatHost

/// What the machine tells its guest about itself: the tables of hardware-reduced ACPI (6.5), which needs neither firmware nor the legacy
/// hardware of a PC.
///
///     RSDP -> XSDT -> FADT -> DSDT (devices)
///                  -> MADT (vCPUs, IOAPIC)
package enum ACPITables {
    /// As many as 8-bit APIC ids can name: 255 is the broadcast id.
    package static let maximumVCPUs = 255

    /// Writes all tables to their place below 1 MiB.
    /// - Parameter devices: a node for each device.
    /// - Returns: the address of the root pointer.
    package static func write(into memory: GuestRAM, vcpus: Int, devices: [AML.Term]) throws(AccessError) -> GuestAddress {
        precondition((1...maximumVCPUs).contains(vcpus), "\(vcpus) vCPUs")
        var position = BootLayout.acpiTables.rawValue + 64  // behind the root pointer
        func place(_ table: [UInt8]) throws(AccessError) -> UInt64 {
            let address = position
            position = (address + UInt64(table.count) + 15) & ~15
            precondition(position <= BootLayout.acpiTablesEnd, "the tables have no room")
            try memory.write(table, at: GuestAddress(address))
            return address
        }
        let dsdt = try place(dsdt(devices))
        let fadt = try place(fadt(dsdt: dsdt))
        let madt = try place(madt(vcpus: vcpus))
        let xsdt = try place(xsdt([fadt, madt]))
        try memory.write(rsdp(xsdt: xsdt), at: BootLayout.acpiTables)
        return BootLayout.acpiTables
    }

    // MARK: The tables

    /// Section 5.2.5.3.
    private static func rsdp(xsdt: UInt64) -> [UInt8] {
        let firstRevisionBytes = 20
        var table = FieldBytes(byteCount: 36)
        table.set(0, "RSD PTR ")
        table.set(9, manufacturer)
        table.set(15, UInt8(2))
        table.set(20, UInt32(36))
        table.set(24, xsdt)
        table.set(8, checksum(table.bytes.prefix(firstRevisionBytes)))
        table.set(32, checksum(table.bytes))
        return table.bytes
    }

    private static func xsdt(_ tables: [UInt64]) -> [UInt8] {
        var body = FieldBytes([])
        for table in tables { body.append(table) }
        return described("XSDT", revision: 1, body.bytes)
    }

    /// Section 5.2.9.
    private static func fadt(dsdt: UInt64) -> [UInt8] {
        // There is no VGA, no message-signalled interrupt, no PCIe power management and no CMOS clock: the guest need not look for them.
        let bootArchitecture: UInt16 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5
        // WBINVD works, processors know C1, power and sleep button are not fixed hardware, there is a reset register, there is no ACPI
        // hardware.
        let flags: UInt32 = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 10 | 1 << 20
        var table = FieldBytes(byteCount: 276 - headerBytes)
        func at(_ offset: Int) -> Int { offset - headerBytes }
        table.set(at(40), UInt32(dsdt))
        table.set(at(109), bootArchitecture)
        table.set(at(112), flags)
        table.set(at(116), port(MachineLayout.resetPort))
        table.set(at(128), MachineLayout.resetValue)
        table.set(at(131), UInt8(4))  // the minor version: 6.4
        table.set(at(140), dsdt)
        table.set(at(244), port(MachineLayout.sleepControlPort))
        table.set(at(256), port(MachineLayout.sleepStatusPort))
        return described("FACP", revision: 6, table.bytes)
    }

    /// Section 5.2.12. There is no pair of legacy interrupt controllers, and every interrupt arrives at the input of its number.
    private static func madt(vcpus: Int) -> [UInt8] {
        var body = FieldBytes([])
        body.append(UInt32(MachineLayout.localAPICBase))
        body.append(UInt32(0))
        for vcpu in 0..<vcpus {
            let (kind, length, isEnabled): (UInt8, UInt8, UInt32) = (0, 8, 1)
            body.append([kind, length, UInt8(vcpu), UInt8(vcpu)])
            body.append(isEnabled)
        }
        let (kind, length, identifier, reserved): (UInt8, UInt8, UInt8, UInt8) = (1, 12, 0, 0)
        body.append([kind, length, identifier, reserved])
        body.append(UInt32(MachineLayout.ioapicBase))
        body.append(UInt32(0))  // its first interrupt
        return described("APIC", revision: 5, body.bytes)
    }

    private static func dsdt(_ devices: [AML.Term]) -> [UInt8] {
        let off = AML.name("\\_S5", AML.package([AML.integer(MachineLayout.sleepTypeOff), AML.integer(UInt8(0))]))
        return described("DSDT", revision: 2, off + AML.scope("\\_SB", devices.flatMap { $0 }))
    }

    // MARK: Parts

    private static let headerBytes = 36
    private static let manufacturer = "AERSTT"

    /// A table with its header (section 5.2.6).
    private static func described(_ signature: String, revision: UInt8, _ body: [UInt8]) -> [UInt8] {
        var table = FieldBytes(byteCount: headerBytes)
        table.append(body)
        table.set(0, signature)
        table.set(4, UInt32(table.bytes.count))
        table.set(8, revision)
        table.set(10, manufacturer)
        table.set(16, "AEROSTAT")
        table.set(24, UInt32(1))
        table.set(28, "AERO")
        table.set(32, UInt32(1))
        table.set(9, checksum(table.bytes))
        return table.bytes
    }

    /// The byte that makes the sum of all bytes zero.
    private static func checksum(_ bytes: some Sequence<UInt8>) -> UInt8 { 0 &- bytes.reduce(0, &+) }

    /// A one-byte register among the I/O ports (section 5.2.3.2).
    private static func port(_ number: UInt16) -> [UInt8] {
        let (systemIO, bits, byteAccess): (UInt8, UInt8, UInt8) = (1, 8, 1)
        var address = FieldBytes([systemIO, bits, 0, byteAccess])
        address.append(UInt64(number))
        return address.bytes
    }
}
