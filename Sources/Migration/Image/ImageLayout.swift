public import AerostatGuestMemory

/// The offsets of a guest image's parts. The number of pages determines all of them, so every page has a fixed offset.
///
///     0          header, one page
///     4096       a mark where the guest has left the image
///     2 MiB      memory: page p at 2 MiB + p x 4096; a page without data is a hole
///     tables     three bitmaps (data, zero, free), then the checksums, 4 bytes a page; each begins on a page. Zeros are holes
///     then       the device state
public struct ImageLayout: Hashable, Sendable {
    /// The header's length, and the unit in which everything else is aligned and written.
    public static let blockBytes = GuestPage.size
    /// The offset of the mark of a guest that has left the image: eight bytes, which a disk writes atomically.
    public static let leftMarkOffset = blockBytes
    /// A multiple of the huge page size, so that memory can be mapped in huge blocks.
    public static let memoryOffset = 2 << 20
    /// Pages whose checksums are in one block.
    public static let checksumsPerBlock = blockBytes / 4
    /// Pages whose bits are in one block.
    public static let bitsPerBlock = blockBytes * 8
    /// The most bytes that requirements and device sections take together, including names and lengths.
    public static let maximumDeviceStateBytes =
        Hello.maximumRequirementBytes + DeviceSection.maximumCount * (DeviceSection.maximumBytes + DeviceSection.maximumNameBytes + 12)

    /// The tables, in file order.
    public enum Table: Int, CaseIterable, Hashable, Sendable {
        case data, zero, free, checksums
    }

    /// The eight bytes of the mark: "MOVED ON" if the guest has left the image, otherwise zeros.
    public static func leftMark(_ hasLeft: Bool) -> [UInt8] { hasLeft ? Array("MOVED ON".utf8) : [UInt8](repeating: 0, count: 8) }

    public let pageCount: Int

    public init(pageCount: Int) {
        precondition(pageCount > 0, "an image holds at least one page")
        self.pageCount = pageCount
    }

    /// The offset of a page's bytes.
    public func offset(of page: PageIndex) -> Int { Self.memoryOffset + page.rawValue << GuestPage.shift }

    /// Where the tables begin, right behind memory.
    public var tablesOffset: Int { Self.memoryOffset + pageCount << GuestPage.shift }

    /// Blocks in one table.
    public func blockCount(of table: Table) -> Int {
        let perBlock = table == .checksums ? Self.checksumsPerBlock : Self.bitsPerBlock
        return (pageCount + perBlock - 1) / perBlock
    }

    /// Where a table begins, in bytes from the start of the file.
    public func offset(of table: Table) -> Int {
        let bitmap = blockCount(of: .data) * Self.blockBytes
        return tablesOffset + table.rawValue * bitmap
    }

    /// How long a table is: whole blocks.
    public func byteCount(of table: Table) -> Int { blockCount(of: table) * Self.blockBytes }

    /// Where requirements and device state begin, behind the tables.
    public var deviceStateOffset: Int { offset(of: .checksums) + byteCount(of: .checksums) }

    /// The whole file.
    public func fileBytes(deviceStateBytes: Int) -> Int {
        deviceStateOffset + (deviceStateBytes + Self.blockBytes - 1) / Self.blockBytes * Self.blockBytes
    }
}
