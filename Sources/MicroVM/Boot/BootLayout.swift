package import AerostatGuestMemory

/// The layout below 1 MiB when the first instruction runs, as on PCs. The kernel takes what it wants from there and reuses the rest.
///
///     0x00500  segment descriptors                    0x09000  page tables (six pages)
///     0x06000  PVH start information                  0x20000  command line
///     0x07000  boot parameters ("zero page")          0x9FC00  end of low RAM
///     0x08FF0  top of the first stack                 0xE0000  ACPI tables
///                                                     0xFFFF0  code that resets
package enum BootLayout {
    package static let descriptorTable = GuestAddress(0x500)
    package static let startInfo = GuestAddress(0x6000)
    package static let bootParameters = GuestAddress(0x7000)
    package static let stackTop = GuestAddress(0x8FF0)
    package static let pageTables = GuestAddress(0x9000)
    package static let commandLine = GuestAddress(0x2_0000)
    /// How many bytes of command line have room, including the zero that ends it.
    package static let commandLineBytes = 0x1_0000

    /// The end of the RAM below 1 MiB that a kernel may use.
    package static let lowMemoryEnd: UInt64 = 0x9_FC00
    /// The start of the RAM above it.
    package static let highMemoryStart: UInt64 = 0x10_0000
    /// The kernel searches for the root pointer from here on (ACPI 6.5, section 5.2.5.1).
    package static let acpiTables = GuestAddress(0xE_0000)
    package static let acpiTablesEnd: UInt64 = resetVector.rawValue
    /// 0xFFFF:0 in 16-bit mode.
    package static let resetVector = GuestAddress(0xF_FFF0)
}
