import AerostatGuestMemory
import AerostatHost
import AerostatMigration

/// A guest image in a few hundred bytes:
///
///     flags     u8    left wrong: 1 offsets and length, 2 checksums of tables and state, 4 of pages, 8 counts, 16 the header's own
///     header    u16 and that many bytes from its front
///     state     u32   length of the device state, as the header shall say
///     pieces    until the end: place u8 (0 to 3 a table, 4 device state, 5 memory, 6 the file), offset u32, u16 and that many bytes
struct ImageText {
    struct Wrong: OptionSet {
        let rawValue: UInt8
        static let offsets = Wrong(rawValue: 1)
        static let tables = Wrong(rawValue: 2)
        static let pages = Wrong(rawValue: 4)
        static let counts = Wrong(rawValue: 8)
        static let header = Wrong(rawValue: 16)
    }

    struct Piece {
        let place: UInt8
        let offset: UInt32
        let bytes: [UInt8]
    }

    /// Larger guests have a header and no file behind it.
    static let maximumPages = 8192
    private static let maximumPieces = 256
    static let headerBytes = 1236
    /// The program's name, behind the regions, is left out of seeds.
    private static let creator = 1168..<1232
    static func front(of header: [UInt8]) -> [UInt8] {
        header[..<creator.lowerBound] + [UInt8](repeating: 0, count: creator.count) + header[creator.upperBound..<headerBytes]
    }
    /// Offsets of the header's fields.
    private enum Field {
        static let offsets = 56
        static let counts = 96
        static let checksums = 120
        static let regions = 140
    }

    var wrong: Wrong
    var header: [UInt8]
    var deviceStateBytes: UInt32
    var pieces: [Piece] = []

    init(_ input: [UInt8]) {
        var input = FuzzInput(input)
        wrong = Wrong(rawValue: input.take())
        header = input.take(atMost: min(Int(input.take(UInt16.self)), Self.headerBytes))
        header += [UInt8](repeating: 0, count: Self.headerBytes - header.count)
        deviceStateBytes = input.take(UInt32.self) % (1 << 16)
        while input.remaining > 0, pieces.count < Self.maximumPieces {
            let (place, offset, count) = (input.take(UInt8.self), input.take(UInt32.self), input.take(UInt16.self))
            pieces.append(Piece(place: place % 7, offset: offset, bytes: input.take(atMost: Int(count))))
        }
    }

    init(header: [UInt8], deviceStateBytes: UInt32, pieces: [Piece]) {
        (wrong, self.header, self.deviceStateBytes, self.pieces) = ([], header, deviceStateBytes, pieces)
    }

    /// Takes a whole file apart; the page checksums are left out, because they are made anew.
    init(describing file: [UInt8]) {
        let header = must { try ImageHeader(decoding: Array(file[..<ImageLayout.blockBytes]), fileBytes: file.count) }
        let layout = header.layout
        self.init(header: Self.front(of: file), deviceStateBytes: UInt32(header.deviceStateBytes), pieces: [])
        let parts: [(UInt8, Range<Int>)] = [
            (5, ImageLayout.memoryOffset..<layout.tablesOffset), (0, layout.tablesOffset..<layout.offset(of: .checksums)),
            (4, layout.deviceStateOffset..<file.count),
        ]
        for (place, range) in parts {
            var position = range.lowerBound
            while let start = file[position..<range.upperBound].firstIndex(where: { $0 != 0 }) {
                // Up to the next sixteen zeros.
                var (end, zeros) = (start, 0)
                while end < range.upperBound, zeros < 16, end - start < Int(UInt16.max) {
                    zeros = file[end] == 0 ? zeros + 1 : 0
                    end += 1
                }
                pieces.append(Piece(place: place, offset: UInt32(start - range.lowerBound), bytes: Array(file[start..<end - zeros])))
                position = end
            }
        }
    }

    var encoded: [UInt8] {
        // Zeros at its end go without saying.
        let header = Array(header[...(header.lastIndex { $0 != 0 } ?? 0)])
        let front = [wrong.rawValue] + littleEndian(UInt16(header.count)) + header + littleEndian(deviceStateBytes)
        return front + pieces.flatMap { [$0.place] + littleEndian($0.offset) + littleEndian(UInt16($0.bytes.count)) + $0.bytes }
    }

    /// Pages that some piece is in, and the first one. All others are holes.
    var writtenPages: Set<Int> {
        pieces.reduce(into: [0]) { pages, piece in
            let first = Int(piece.offset) >> GuestPage.shift
            if piece.place == 5 { pages.formUnion(first...(Int(piece.offset) + piece.bytes.count) >> GuestPage.shift) }
        }
    }

    // MARK: The file

    func write(to file: ScratchFile) {
        guard let layout else {
            file.reset(byteCount: ImageLayout.blockBytes)
            return file.write(sealed(header), at: 0)
        }
        let fileBytes = layout.fileBytes(deviceStateBytes: Int(deviceStateBytes))
        file.reset(byteCount: fileBytes)
        for piece in pieces {
            let offset = start(of: piece.place, layout) + Int(piece.offset)
            // Behind the end nothing is written: the file would grow.
            if offset < fileBytes { file.write(Array(piece.bytes.prefix(fileBytes - offset)), at: offset) }
        }
        file.write(sealed(repaired(file, layout)), at: 0)
    }

    private func start(of place: UInt8, _ layout: ImageLayout) -> Int {
        switch place {
        case 4: layout.deviceStateOffset
        case 5: ImageLayout.memoryOffset
        case 6: 0
        default: layout.offset(of: ImageLayout.Table(rawValue: Int(place))!)
        }
    }

    /// What follows from the regions; `nil` where they are none, or a guest too large for a fuzzer.
    private var layout: ImageLayout? {
        var reader = FuzzInput(Array(header[Field.regions...]))
        let count = reader.take(UInt32.self)
        guard count <= RegionTable.maximumRegions else { return nil }
        let regions = (0..<count).map { _ in MemoryRegion(base: GuestAddress(reader.take()), byteCount: reader.take()) }
        guard let table = try? RegionTable(regions), table.pageCount <= Self.maximumPages else { return nil }
        return ImageLayout(pageCount: table.pageCount)
    }

    private func repaired(_ file: ScratchFile, _ layout: ImageLayout) -> [UInt8] {
        var header = header
        func put(_ values: [some FixedWidthInteger], at offset: Int) {
            let content = values.flatMap { littleEndian($0) }
            header.replaceSubrange(offset..<offset + content.count, with: content)
        }
        if !wrong.contains(.offsets) {
            let state = Int(deviceStateBytes)
            let places = [
                ImageLayout.memoryOffset, layout.tablesOffset, layout.deviceStateOffset, state, layout.fileBytes(deviceStateBytes: state),
            ]
            put(places.map(UInt64.init), at: Field.offsets)
        }
        let maps = [ImageLayout.Table.data, .zero, .free].map {
            file.read(layout.offset(of: $0)..<layout.offset(of: $0) + layout.byteCount(of: $0))
        }
        if !wrong.contains(.pages) { sumPages(file, layout, maps[0]) }
        if !wrong.contains(.counts) { put(maps.map { UInt64($0.reduce(0) { $0 + $1.nonzeroBitCount }) }, at: Field.counts) }
        if !wrong.contains(.tables) {
            let state = file.read(layout.deviceStateOffset..<layout.deviceStateOffset + Int(deviceStateBytes))
            let checksums = layout.offset(of: .checksums)
            put(
                [
                    blocks(file, layout, layout.tablesOffset..<checksums), blocks(file, layout, checksums..<layout.deviceStateOffset),
                    CRC32C.of(state),
                ],
                at: Field.checksums
            )
        }
        return header
    }

    /// Whether some page is in two of the three bitmaps.
    func hasPageOfTwoStates(_ file: ScratchFile, _ layout: ImageLayout) -> Bool {
        let maps = [ImageLayout.Table.data, .zero, .free].map {
            file.read(layout.offset(of: $0)..<layout.offset(of: $0) + layout.byteCount(of: $0))
        }
        return maps[0].indices.contains { maps[0][$0] & maps[1][$0] | maps[0][$0] & maps[2][$0] | maps[1][$0] & maps[2][$0] != 0 }
    }

    private func sumPages(_ file: ScratchFile, _ layout: ImageLayout, _ data: [UInt8]) {
        for page in 0..<layout.pageCount where data[page / 8] >> (page % 8) & 1 == 1 {
            let offset = layout.offset(of: PageIndex(page))
            file.write(littleEndian(CRC32C.of(file.read(offset..<offset + GuestPage.size))), at: layout.offset(of: .checksums) + page * 4)
        }
    }

    private func blocks(_ file: ScratchFile, _ layout: ImageLayout, _ range: Range<Int>) -> UInt32 {
        var checksum = BlockChecksum()
        for offset in stride(from: range.lowerBound, to: range.upperBound, by: ImageLayout.blockBytes) {
            checksum.add((offset - layout.tablesOffset) / ImageLayout.blockBytes, file.read(offset..<offset + ImageLayout.blockBytes))
        }
        return checksum.value
    }

    private func sealed(_ header: [UInt8]) -> [UInt8] {
        let block = header + [UInt8](repeating: 0, count: ImageLayout.blockBytes - 4 - header.count)
        return block + littleEndian(wrong.contains(.header) ? 0 : CRC32C.of(block))
    }
}
