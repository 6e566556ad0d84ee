package import AerostatGuestMemory

/// Page tables that map the first 4 GiB to themselves with 2 MiB pages: RAM below the hole, and the devices in the hole.
package enum IdentityPageTables {
    /// How much is mapped.
    package static let mappedBytes: UInt64 = 4 << 30

    // Intel SDM volume 3, section 4.5.
    private static let (present, writable, large): (UInt64, UInt64, UInt64) = (1, 1 << 1, 1 << 7)
    private static let entries = 512

    /// - Returns: the address of the root table, for CR3.
    package static func write(into memory: GuestRAM) throws(AccessError) -> GuestAddress {
        let root = BootLayout.pageTables.rawValue
        let (pointers, directories) = (root + 0x1000, root + 0x2000)
        try memory.store(pointers | present | writable, at: GuestAddress(root))
        for gigabyte in 0..<mappedBytes >> 30 {
            try memory.store(directories + gigabyte << 12 | present | writable, at: GuestAddress(pointers + gigabyte * 8))
        }
        for page in 0..<mappedBytes >> 21 {
            try memory.store(page << 21 | present | writable | large, at: GuestAddress(directories + page * 8))
        }
        return BootLayout.pageTables
    }
}
