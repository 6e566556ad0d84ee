package import AerostatGuestMemory

/// Where everything is in guest-physical memory and among the I/O ports. RAM regions, ACPI tables, boot code and the device bus all take
/// their addresses from here.
///
///     0                RAM; 0x500-0xFFFFF holds what the boot leaves for the kernel (boot parameters, tables), the kernel begins at 1 MiB
///     3 GiB            the hole: virtio-mmio at 0xD0000000, IOAPIC at 0xFEC00000, local APICs at 0xFEE00000
///     4 GiB            the rest of RAM
package enum MachineLayout {
    /// RAM that does not fit below this address goes above 4 GiB.
    package static let holeStart: UInt64 = 3 << 30
    package static let holeEnd: UInt64 = 4 << 30

    /// The virtio device at place i has its registers at `virtioBase + i * virtioStride`, and the i-th of `virtioInterrupts`. The number of
    /// devices is limited by the interrupts: there is room for far more registers below the IOAPIC.
    package static let virtioBase: UInt64 = 0xD000_0000
    package static let virtioStride: UInt64 = 0x1000
    /// All free interrupts of the IOAPIC, from 5 on.
    package static let virtioInterrupts = (5..<interruptCount).filter { !reservedInterrupts.contains($0) && $0 != eventInterrupt }

    /// KVM's IOAPIC has 24 inputs.
    package static let interruptCount: UInt32 = 24
    /// The interrupt of the timer, and the one that joins the two controllers of a PC.
    package static let reservedInterrupts: Set<UInt32> = [0, 2]
    package static let ioapicBase: UInt64 = 0xFEC0_0000
    package static let localAPICBase: UInt64 = 0xFEE0_0000

    /// Three pages that KVM needs on Intel processors, and one for its identity map. They lie in the hole, above the local APICs.
    package static let taskStateSegment: UInt64 = 0xFFFB_D000
    package static let identityMap: UInt64 = 0xFFFB_C000

    /// The first serial port: eight I/O ports and an interrupt, as on PCs.
    package static let serialPort: UInt16 = 0x3F8
    package static let serialInterrupt: UInt32 = 4

    /// Registers of hardware-reduced ACPI, one byte each: sleep control, sleep status, reset.
    package static let sleepControlPort: UInt16 = 0x600
    package static let sleepStatusPort: UInt16 = 0x601
    package static let resetPort: UInt16 = 0x602
    /// Read by the generic event device's method: which events happened (bit 0: the power button). Reading clears it.
    package static let eventPort: UInt16 = 0x604
    package static let eventInterrupt: UInt32 = 9
    /// The value for the reset register, and the sleep type that means "off" (S5).
    package static let resetValue: UInt8 = 0x01
    package static let sleepTypeOff: UInt8 = 5

    /// The regions of a machine with this much RAM.
    /// - Parameter memory: bytes, whole pages.
    package static func regions(memory: UInt64) throws(RegionTableError) -> RegionTable {
        guard memory > holeStart else { return try RegionTable(contiguousBytes: memory) }
        return try RegionTable([
            MemoryRegion(base: GuestAddress(0), byteCount: holeStart),
            MemoryRegion(base: GuestAddress(holeEnd), byteCount: memory - holeStart),
        ])
    }
}
