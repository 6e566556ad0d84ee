public import AerostatGuestMemory
import AerostatHost

/// The first block of a guest image. While the image is being written, its completeness mark is missing. The header with the mark is
/// written last.
public struct ImageHeader: Hashable, Sendable {
    /// The image's signature, read as a little-endian integer.
    static let magic: UInt64 = ImageSignature.bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    /// "COMPLETE", likewise.
    static let completenessMark: UInt64 = 0x4554_454C_504D_4F43
    /// 2: since this version an image holds the guest's requirements.
    public static let version: UInt32 = 2
    /// Bytes kept for the name of the program that wrote the image.
    static let maximumCreatorBytes = 64
    private static let checksumOffset = ImageLayout.blockBytes - 4

    /// Whether everything is in the file.
    public var isComplete = false
    /// The migration that wrote it.
    public var id: SessionID
    /// When writing began and ended, in milliseconds since 1970.
    public var begun: UInt64
    public var finished: UInt64 = 0
    public var regions: RegionTable
    /// Pages with data, pages known to be zero, free pages. The rest never existed.
    public var dataPages = 0
    public var zeroPages = 0
    public var freePages = 0
    public var deviceStateBytes = 0
    public var deviceSections = 0
    /// How many requirements precede the device sections.
    public var requirements = 0
    /// CRC-32C over the bitmaps, the checksums and the device state. See `ImageTables.checksum(of:)`.
    public var bitmapsChecksum: UInt32 = 0
    public var checksumsChecksum: UInt32 = 0
    public var deviceStateChecksum: UInt32 = 0
    /// Whether the guest was running, and will run when it is restored.
    public var guestRuns = true
    /// The program that wrote it.
    public var creator: String

    public init(id: SessionID, begun: UInt64, regions: RegionTable, creator: String) {
        self.id = id
        self.begun = begun
        self.regions = regions
        self.creator = creator
    }

    /// Where the image's parts lie. The number of pages determines this.
    public var layout: ImageLayout { ImageLayout(pageCount: regions.pageCount) }
    /// The length of the whole file.
    public var fileBytes: Int { layout.fileBytes(deviceStateBytes: deviceStateBytes) }

    /// Encodes the block as it is stored in the file.
    public func encode() -> [UInt8] {
        var writer = FieldBytes(reserving: ImageLayout.blockBytes)
        writer.append(Self.magic)
        writer.append(Self.version)
        writer.append(UInt32(GuestPage.size))
        writer.append(isComplete ? Self.completenessMark : 0)
        writer.append(id.high)
        writer.append(id.low)
        writer.append(begun)
        writer.append(finished)
        for offset in [ImageLayout.memoryOffset, layout.tablesOffset, layout.deviceStateOffset, deviceStateBytes, fileBytes] {
            writer.append(UInt64(offset))
        }
        for count in [dataPages, zeroPages, freePages] { writer.append(UInt64(count)) }
        for checksum in [bitmapsChecksum, checksumsChecksum, deviceStateChecksum] { writer.append(checksum) }
        writer.append(UInt32(deviceSections))
        writer.append(UInt32(guestRuns ? 1 : 0))
        writer.append(UInt32(regions.regions.count))
        for region in regions.regions {
            writer.append(region.base.rawValue)
            writer.append(region.byteCount)
        }
        let unusedRegions = RegionTable.maximumRegions - regions.regions.count
        writer.append([UInt8](repeating: 0, count: unusedRegions * 16))
        let name = Array(creator.utf8.prefix(Self.maximumCreatorBytes))
        writer.append(name + [UInt8](repeating: 0, count: Self.maximumCreatorBytes - name.count))
        writer.append(UInt32(requirements))
        writer.append([UInt8](repeating: 0, count: Self.checksumOffset - writer.bytes.count))
        writer.append(CRC32C.of(writer.bytes))
        return writer.bytes
    }

    /// Decodes a block, which is foreign input. What it says about other parts of the file is not compared with those parts here.
    /// - Parameters:
    ///   - bytes: 4096.
    ///   - fileBytes: how long the file is.
    public init(decoding bytes: [UInt8], fileBytes: Int) throws(ImageError) {
        guard bytes.count == ImageLayout.blockBytes else { throw .notAnImage }
        var reader = StreamReader(bytes)
        do {
            guard try reader.take("magic", UInt64.self) == Self.magic else { throw ImageError.notAnImage }
            let version: UInt32 = try reader.take("version")
            guard version == Self.version else { throw ImageError.version(version) }
            var tail = StreamReader(Array(bytes[Self.checksumOffset...]))
            guard try tail.take("checksum", UInt32.self) == CRC32C.of(Array(bytes[..<Self.checksumOffset])) else {
                throw ImageError.checksum(part: "the header", offset: 0, byteCount: ImageLayout.blockBytes)
            }
            try self.init(fields: &reader)
        } catch let error as ImageError {
            throw error
        } catch {
            throw .malformed(part: "the header", offset: 0, reason: "\(error)")
        }
        guard isComplete else { throw .incomplete }
        guard fileBytes == self.fileBytes else { throw .length(expected: self.fileBytes, found: fileBytes) }
    }

    /// The fields behind magic and version.
    private init(fields reader: inout StreamReader) throws {
        let pageSize: UInt32 = try reader.take("page size")
        guard pageSize == GuestPage.size else { throw ImageError.pageSize(pageSize) }
        let mark: UInt64 = try reader.take("completeness mark")
        guard mark == 0 || mark == Self.completenessMark else { throw Self.malformed(16, "the completeness mark is \(mark)") }
        let id = SessionID(high: try reader.take("id"), low: try reader.take("id"))
        let times: (UInt64, UInt64) = (try reader.take("time"), try reader.take("time"))
        var offsets: [UInt64] = []
        for _ in 0..<5 { offsets.append(try reader.take("offset")) }
        var counts: [UInt64] = []
        for _ in 0..<3 { counts.append(try reader.take("page count")) }
        var checksums: [UInt32] = []
        for _ in 0..<3 { checksums.append(try reader.take("checksum")) }
        let (sections, flags): (UInt32, UInt32) = (try reader.take("device section count"), try reader.take("flags"))
        regions = try Self.regions(&reader)
        creator = Self.text(try reader.takeBytes("creator", count: Self.maximumCreatorBytes))
        let requirements: UInt32 = try reader.take("requirement count")
        isComplete = mark != 0
        self.id = id
        (begun, finished) = times
        guard sections <= DeviceSection.maximumCount else { throw Self.malformed(132, "\(sections) device sections") }
        deviceSections = Int(sections)
        guard requirements <= DeviceSection.maximumCount else { throw Self.malformed(1232, "\(requirements) requirements") }
        self.requirements = Int(requirements)
        guard flags <= 1 else { throw Self.malformed(136, "flags \(flags)") }
        guestRuns = flags == 1
        guard offsets[3] <= ImageLayout.maximumDeviceStateBytes else { throw Self.malformed(80, "\(offsets[3]) bytes of device state") }
        deviceStateBytes = Int(offsets[3])
        // The regions determine these values. A header with other values was written by a program that understands the format differently.
        let expected = [ImageLayout.memoryOffset, layout.tablesOffset, layout.deviceStateOffset, deviceStateBytes, fileBytes]
        for (index, (found, expected)) in zip(offsets, expected).enumerated() where found != UInt64(expected) {
            throw Self.malformed(56 + 8 * index, "\(found) stands where \(expected) follows from the regions")
        }
        for (index, count) in counts.enumerated() where count > UInt64(regions.pageCount) {
            throw Self.malformed(96 + 8 * index, "\(count) pages of \(regions.pageCount)")
        }
        (dataPages, zeroPages, freePages) = (Int(counts[0]), Int(counts[1]), Int(counts[2]))
        (bitmapsChecksum, checksumsChecksum, deviceStateChecksum) = (checksums[0], checksums[1], checksums[2])
    }

    private static func regions(_ reader: inout StreamReader) throws -> RegionTable {
        let count: UInt32 = try reader.take("region count")
        guard count <= RegionTable.maximumRegions else { throw malformed(140, "\(count) memory regions") }
        var regions: [MemoryRegion] = []
        for index in 0..<RegionTable.maximumRegions {
            let region = MemoryRegion(base: GuestAddress(try reader.take("region")), byteCount: try reader.take("region"))
            if index < count { regions.append(region) }
        }
        do { return try RegionTable(regions) } catch { throw malformed(144, "\(error)") }
    }

    private static func malformed(_ offset: Int, _ reason: String) -> ImageError {
        .malformed(part: "the header", offset: offset, reason: reason)
    }

    /// Text up to the first zero byte; characters that cannot be shown are replaced.
    private static func text(_ bytes: [UInt8]) -> String { String(foreign: bytes.prefix { $0 != 0 }) }
}
