import AerostatGuestMemory
import AerostatHost

/// What a kernel is told at its entry, in the forms of both entries.
struct BootParameters {
    /// A piece of the address space, as firmware's E820 call reports it.
    struct MapEntry: Hashable, Sendable {
        enum Kind: UInt32 {
            case usable = 1
            case reserved = 2
        }

        let address: UInt64
        let byteCount: UInt64
        let kind: Kind
    }

    let memoryMap: [MapEntry]
    let initrd: Range<UInt64>?
    /// The address of ACPI's root pointer.
    let rootPointer: GuestAddress

    /// All RAM, except what lies at the end of the first MiB.
    static func memoryMap(of regions: RegionTable) -> [MapEntry] {
        let (low, high) = (BootLayout.lowMemoryEnd, BootLayout.highMemoryStart)
        let first = regions.regions[0]
        let above = regions.regions.dropFirst().map { MapEntry(address: $0.base.rawValue, byteCount: $0.byteCount, kind: .usable) }
        return [
            MapEntry(address: 0, byteCount: low, kind: .usable),
            MapEntry(address: low, byteCount: high - low, kind: .reserved),
            MapEntry(address: high, byteCount: first.end - high, kind: .usable),
        ] + above
    }

    // MARK: The 64-bit entry (Documentation/arch/x86/zero-page.rst)

    /// The header for a kernel that comes without one.
    static let plainSetupHeader: [UInt8] = {
        let start = BzImage.setupHeaderOffset
        var header = FieldBytes(byteCount: 0x268 - start)
        header.set(0x1FE - start, UInt16(0xAA55))
        header.set(0x202 - start, "HdrS")
        header.set(0x206 - start, UInt16(0x020C))
        header.set(0x230 - start, UInt32(1 << 21))  // alignment
        return header.bytes
    }()

    func writeZeroPage(_ setupHeader: [UInt8], into memory: GuestRAM) throws(AccessError) {
        let unnamedLoader: UInt8 = 0xFF
        var page = FieldBytes(byteCount: GuestPage.size)
        page.set(0x070, rootPointer.rawValue)
        page.set(0x1E8, UInt8(memoryMap.count))
        page.set(BzImage.setupHeaderOffset, setupHeader)
        page.set(0x210, unnamedLoader)
        page.set(0x218, UInt32(initrd?.lowerBound ?? 0))
        page.set(0x21C, UInt32(initrd?.count ?? 0))
        page.set(0x228, UInt32(BootLayout.commandLine.rawValue))
        for (index, entry) in memoryMap.enumerated() {
            let offset = 0x2D0 + index * 20
            page.set(offset, entry.address)
            page.set(offset + 8, entry.byteCount)
            page.set(offset + 16, entry.kind.rawValue)
        }
        try memory.write(page.bytes, at: BootLayout.bootParameters)
    }

    // MARK: The PVH entry (Xen's public header arch-x86/hvm/start_info.h, version 1)

    func writeStartInfo(into memory: GuestRAM) throws(AccessError) {
        let moduleOffset = 0x40
        let mapOffset = 0x80
        let mapEntryBytes = 24
        let start = BootLayout.startInfo.rawValue
        var info = FieldBytes(byteCount: mapOffset + memoryMap.count * mapEntryBytes)
        info.set(0, UInt32(0x336E_C578))
        info.set(4, UInt32(1))
        if let initrd {
            info.set(12, UInt32(1))
            info.set(16, start + UInt64(moduleOffset))
            info.set(moduleOffset, initrd.lowerBound)
            info.set(moduleOffset + 8, UInt64(initrd.count))
        }
        info.set(24, BootLayout.commandLine.rawValue)
        info.set(32, rootPointer.rawValue)
        info.set(40, start + UInt64(mapOffset))
        info.set(48, UInt32(memoryMap.count))
        for (index, entry) in memoryMap.enumerated() {
            let offset = mapOffset + index * mapEntryBytes
            info.set(offset, entry.address)
            info.set(offset + 8, entry.byteCount)
            info.set(offset + 16, entry.kind.rawValue)
        }
        try memory.write(info.bytes, at: BootLayout.startInfo)
    }
}
