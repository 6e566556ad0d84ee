import AerostatGuestMemory
import AerostatHost
public import AerostatMigration

/// An opened guest image: its header, page map and device state were checked. Its pages have not been read yet.
///
/// Opening costs what the image holds, not the size of the guest, because holes in the tables are skipped. Used by one thread at a time.
public final class GuestImage {
    public let path: String
    public let header: ImageHeader
    public let deviceSections: [DeviceSection]
    /// What a process must offer to start the guest (`Guest.requirements`).
    public let requirements: [DeviceSection]
    /// Whether the guest has moved on, or was about to when its process ended.
    public let hasLeft: Bool
    /// Keeps others from starting the guest; `nil` if the image was opened for reading.
    public let claim: ImageClaim?
    let file: SourceFile
    let tables: ImageTables
    private var hasChecksums = false

    /// The number of bytes read at once when the file is read sequentially.
    private static let pieceBytes = 256 << 10

    /// Opens an image and checks everything in it before it is used.
    public convenience init(opening path: String, for use: ImageUse = .reading) throws(ImageError) {
        try self.init(opening: path, for: use) {}
    }

    /// - Parameter opened: called when the file is open but not locked yet; for tests.
    package init(opening path: String, for use: ImageUse, opened: () -> Void) throws(ImageError) {
        self.path = path
        file = try ImageClaim.open(path, for: use, opened: opened)
        claim = try Self.claim(file, use)
        let fileBytes = Int(clamping: file.byteCount)
        header = try Self.header(of: file, fileBytes)
        hasLeft = try Self.leftMark(of: file)
        if hasLeft, use == .starting { throw .left }
        do throws(SystemError) { tables = try ImageTables(header.layout) } catch {
            throw .system(operation: error.operation, path: path, reason: "\(error.code)")
        }
        let state = try Self.deviceState(of: file, header)
        (requirements, deviceSections) = (state.requirements, state.sections)
        let checksum = try load([.data, .zero, .free])
        guard checksum == header.bitmapsChecksum else {
            throw .checksum(
                part: "the page map",
                offset: header.layout.tablesOffset,
                byteCount: header.layout.offset(of: .checksums) - header.layout.tablesOffset
            )
        }
        if let contradiction = tables.contradiction(with: header) { throw contradiction }
    }

    private static func header(of file: borrowing SourceFile, _ fileBytes: Int) throws(ImageError) -> ImageHeader {
        guard fileBytes > 0 else { throw .notAnImage }
        var block = [UInt8](repeating: 0, count: ImageLayout.blockBytes)
        let present = min(fileBytes, block.count)
        do throws(SystemError) { try file.read(at: 0, into: &block, 0..<present) } catch { throw ImageError(error) }
        do throws(ImageError) { return try ImageHeader(decoding: block, fileBytes: fileBytes) } catch {
            // The checksum of a header that is cut off says nothing.
            if present < block.count, error != .notAnImage { throw .length(expected: block.count, found: fileBytes) }
            throw error
        }
    }

    private static func leftMark(of file: borrowing SourceFile) throws(ImageError) -> Bool {
        let none = ImageLayout.leftMark(false)
        var mark = none
        do throws(SystemError) { try file.read(at: UInt64(ImageLayout.leftMarkOffset), into: &mark, mark.indices) } catch {
            throw ImageError(error)
        }
        guard mark != none else { return false }
        guard mark == ImageLayout.leftMark(true) else {
            throw .malformed(part: "the mark of a guest that has left", offset: ImageLayout.leftMarkOffset, reason: "it is not valid")
        }
        return true
    }

    /// The file is as long as its header says, so the header's length of the state can be trusted.
    private static func deviceState(of file: borrowing SourceFile, _ header: ImageHeader) throws(ImageError) -> ImageDeviceState {
        let offset = header.layout.deviceStateOffset
        var bytes = [UInt8](repeating: 0, count: header.deviceStateBytes)
        do throws(SystemError) { try file.read(at: UInt64(offset), into: &bytes, 0..<bytes.count) } catch { throw ImageError(error) }
        guard CRC32C.of(bytes) == header.deviceStateChecksum else {
            throw .checksum(part: "the device state", offset: offset, byteCount: bytes.count)
        }
        do throws(StreamError) { return try ImageDeviceState(decoding: bytes, header) } catch {
            throw .malformed(part: "the device state", offset: offset, reason: "\(error)")
        }
    }

    // MARK: Tables

    /// Loads the pages' checksums, which only some callers need. The table is a thousandth of the data.
    func loadChecksums() throws(ImageError) {
        guard !hasChecksums else { return }
        let layout = header.layout
        guard try load([.checksums]) == header.checksumsChecksum else {
            throw .checksum(part: "the checksum table", offset: layout.offset(of: .checksums), byteCount: layout.byteCount(of: .checksums))
        }
        hasChecksums = true
    }

    /// Loads the blocks of some tables, which are adjacent in the file.
    /// - Returns: the checksum over the blocks as they are in the file.
    private func load(_ which: [ImageLayout.Table]) throws(ImageError) -> UInt32 {
        let layout = header.layout
        var checksum = BlockChecksum()
        let last = which[which.count - 1]
        let range = layout.offset(of: which[0])..<layout.offset(of: last) + layout.byteCount(of: last)
        try forEachBlock(in: range) { (offset, block) throws(ImageError) in
            let number = (offset - layout.tablesOffset) / ImageLayout.blockBytes
            checksum.add(number, block)
            guard unsafe block.withUnsafeBytes({ unsafe tables.loadBlock(number, from: $0) }) else {
                throw .malformed(part: "the page map", offset: offset, reason: "it names pages past the last one")
            }
        }
        return checksum.value
    }

    /// Calls `body` with each block of a part of the file that is not all zeros.
    /// - Parameter range: whole blocks.
    func forEachBlock(in range: Range<Int>, _ body: (_ offset: Int, _ block: [UInt8]) throws(ImageError) -> Void) throws(ImageError) {
        let blockBytes = ImageLayout.blockBytes
        var buffer = [UInt8](repeating: 0, count: min(Self.pieceBytes, range.count))
        var position = range.lowerBound
        while position < range.upperBound {
            let extent = try ImageError.reading { () throws(SystemError) in try file.dataExtent(from: UInt64(position)) }
            guard let extent, extent.lowerBound < range.upperBound else { return }
            position = max(position, Int(extent.lowerBound) / blockBytes * blockBytes)
            let end = min(range.upperBound, (Int(extent.upperBound) + blockBytes - 1) / blockBytes * blockBytes)
            while position < end {
                let count = min(buffer.count, end - position)
                do throws(SystemError) { try file.read(at: UInt64(position), into: &buffer, 0..<count) } catch { throw ImageError(error) }
                for start in stride(from: 0, to: count, by: blockBytes) {
                    let block = Array(buffer[start..<start + blockBytes])
                    if block.contains(where: { $0 != 0 }) { try body(position + start, block) }
                }
                position += count
            }
        }
    }
}

extension ImageError {
    init(_ error: SystemError) { self = .system(operation: error.operation, path: error.place, reason: "\(error.code)") }

    static func reading<Result: ~Copyable>(_ body: () throws(SystemError) -> Result) throws(ImageError) -> Result {
        do throws(SystemError) { return try body() } catch { throw ImageError(error) }
    }
}
