import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc
import TestSupport
import Testing

/// Files that are not images, or not any more.
@Suite(.serialized) struct ImageDamageTests {
    @Test func `A file of any other length is refused`() throws {
        let sample = try SampleImage()
        let layout = try RawFile(sample.path).header.layout
        let full = try RawFile(sample.path).byteCount
        let tables = ImageLayout.Table.allCases.map { layout.offset(of: $0) }
        let edges = [0, 8, 4096, ImageLayout.memoryOffset, layout.offset(of: PageIndex(700)), layout.deviceStateOffset, full] + tables
        // Extending the file again replaces what was cut off by zeros. From the end towards the beginning, everything that is checked is
        // still there.
        for length in Set(edges.flatMap { [$0 - 1, $0, $0 + 1, $0 + 4096] }).sorted(by: >) where length >= 0 && length != full {
            try RawFile(sample.path).setLength(length)
            let error = try #require(refusal(sample.path), "\(length) bytes")
            switch error {
            case .length(_, let found): #expect(found == length)
            case .notAnImage: #expect(length < 8)
            default: Issue.record("\(length) bytes: \(error)")
            }
        }
    }

    @Test func `Every bit of the header counts`() throws {
        let sample = try SampleImage()
        let file = try RawFile(sample.path)
        for offset in 0..<4096 {
            let mask = UInt8(1) << UInt8(offset % 8)
            file.flip(mask, at: offset)
            #expect(refusal(sample.path) != nil, "byte \(offset)")
            file.flip(mask, at: offset)
        }
        #expect(fault(sample.path) == nil)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `A flipped bit anywhere is found`(seed: UInt64) throws {
        let sample = try SampleImage()
        let file = try RawFile(sample.path)
        var random = SeededGenerator(seed: seed)
        let header = try file.header
        let layout = header.layout
        let parts = [0..<ImageLayout.memoryOffset, ImageLayout.memoryOffset..<layout.tablesOffset, layout.tablesOffset..<file.byteCount]
        for _ in 0..<300 {
            let offset = Int.random(in: parts.randomElement(using: &random)!, using: &random)
            let mask = UInt8(1) << UInt8.random(in: 0..<8, using: &random)
            file.flip(mask, at: offset)
            let found = fault(sample.path)
            #expect(found != nil, "seed \(seed), byte \(offset), mask \(mask)")
            let page = (offset - ImageLayout.memoryOffset) / 4096
            if parts[1].contains(offset), case .pageChecksum(let named, let place, _, _)? = found {
                #expect(named == page && place == layout.offset(of: PageIndex(page)))
            }
            file.flip(mask, at: offset)
        }
        #expect(fault(sample.path) == nil)
    }

    @Test func `All damaged pages are counted, and the first is named`() throws {
        let sample = try SampleImage()
        let layout = try RawFile(sample.path).header.layout
        // A page of each kind: data, zero, free, absent.
        for page in [1401, 1001, 404, 407, 1800] { try RawFile(sample.path).flip(0x10, at: layout.offset(of: PageIndex(page)) + 99) }
        let result = try GuestImage(opening: sample.path).verify()
        #expect(result.faults == 5 && result.pagesChecked == 768)
        guard case .malformed("page 404", layout.offset(of: PageIndex(404)), _)? = result.firstFault else {
            Issue.record("\(result)")
            return
        }
    }

    /// A header with a wrong field and a correct checksum.
    struct Lie: Sendable, CustomTestStringConvertible {
        let name: String
        let offset: Int
        let bytes: [UInt8]
        let isExpected: @Sendable (ImageError) -> Bool

        var testDescription: String { name }

        init<Value: FixedWidthInteger>(
            _ name: String,
            _ value: Value,
            at offset: Int,
            _ isExpected: @escaping @Sendable (ImageError) -> Bool
        ) {
            var writer = FieldBytes()
            writer.append(value)
            (self.name, self.offset, bytes, self.isExpected) = (name, offset, writer.bytes, isExpected)
        }

        static func malformed(at place: Int) -> @Sendable (ImageError) -> Bool {
            { if case .malformed(_, place, _) = $0 { true } else { false } }
        }
    }

    private static let lies: [Lie] = [
        Lie("another file", UInt8(0x42), at: 0) { $0 == .notAnImage },
        Lie("an older version", UInt32(1), at: 8) { $0 == .version(1) },
        Lie("a newer version", UInt32(3), at: 8) { $0 == .version(3) },
        Lie("pages of 16 KiB", UInt32(16384), at: 12) { $0 == .pageSize(16384) },
        Lie("no mark", UInt64(0), at: 16) { $0 == .incomplete },
        Lie("half a mark", UInt32(0), at: 16, Lie.malformed(at: 16)),
        Lie("memory elsewhere", UInt64(4096), at: 56, Lie.malformed(at: 56)),
        Lie("tables elsewhere", UInt64.max, at: 64, Lie.malformed(at: 64)),
        Lie("state elsewhere", UInt64(0), at: 72, Lie.malformed(at: 72)),
        Lie("more state than may be", UInt64(1) << 40, at: 80, Lie.malformed(at: 80)),
        Lie("all the state that may be", UInt64(268_454_912), at: 80, Lie.malformed(at: 88)),
        Lie("another length", UInt64(1) << 62, at: 88, Lie.malformed(at: 88)),
        Lie("more data than pages", UInt64(2049), at: 96, Lie.malformed(at: 96)),
        Lie("endless zero pages", UInt64.max, at: 104, Lie.malformed(at: 104)),
        Lie("endless free pages", UInt64.max, at: 112, Lie.malformed(at: 112)),
        Lie("one data page less", UInt64(767), at: 96) { if case .malformed("the page map", _, _) = $0 { true } else { false } },
        Lie("one free page more", UInt64(385), at: 112) { if case .malformed("the page map", _, _) = $0 { true } else { false } },
        Lie("another checksum of the map", UInt32(5), at: 120) { if case .checksum("the page map", _, _) = $0 { true } else { false } },
        Lie("another checksum of the checksums", UInt32(5), at: 124) {
            if case .checksum("the checksum table", _, _) = $0 { true } else { false }
        },
        Lie("another checksum of the state", UInt32(5), at: 128) {
            if case .checksum("the device state", _, _) = $0 { true } else { false }
        },
        Lie("endless sections", UInt32.max, at: 132, Lie.malformed(at: 132)),
        Lie("a section more", UInt32(2), at: 132) { if case .malformed("the device state", _, _) = $0 { true } else { false } },
        Lie("no section", UInt32(0), at: 132) { if case .malformed("the device state", _, _) = $0 { true } else { false } },
        Lie("flags that nobody knows", UInt32(2), at: 136, Lie.malformed(at: 136)),
        Lie("no regions", UInt32(0), at: 140, Lie.malformed(at: 144)),
        Lie("one region too many", UInt32(65), at: 140, Lie.malformed(at: 140)),
        Lie("endless regions", UInt32.max, at: 140, Lie.malformed(at: 140)),
        Lie("one region less", UInt32(1), at: 140) { if case .malformed("the header", _, _) = $0 { true } else { false } },
        Lie("a region inside a page", UInt64(100), at: 144, Lie.malformed(at: 144)),
        Lie("a region of 16 EiB", UInt64.max & ~4095, at: 152, Lie.malformed(at: 144)),
        Lie("a region of nothing", UInt64(0), at: 152, Lie.malformed(at: 144)),
        Lie("overlapping regions", UInt64(4096), at: 160, Lie.malformed(at: 144)),
        Lie("regions behind the end of the address space", UInt64.max & ~4095, at: 160, Lie.malformed(at: 144)),
        Lie("too many requirements", UInt32(257), at: 1232, Lie.malformed(at: 1232)),
        Lie("a requirement that is not there", UInt32(2), at: 1232) {
            if case .malformed("the device state", _, _) = $0 { true } else { false }
        },
        Lie("a larger guest", UInt64(2048 * 4096), at: 168) { if case .malformed("the header", _, _) = $0 { true } else { false } },
    ]

    @Test(arguments: lies)
    func `The fields of a header are checked even if its checksum is correct`(_ lie: Lie) throws {
        let sample = try SampleImage()
        try RawFile(sample.path).forgeHeader(lie.bytes, at: lie.offset)
        let error = try #require(fault(sample.path))
        #expect(lie.isExpected(error), "\(error)")
    }

    @Test func `A header that announces a guest of 16 TiB is refused by the file's length`() throws {
        let folder = try ImageFolder()
        let regions = try RegionTable(contiguousBytes: RegionTable.maximumBytes)
        var header = ImageHeader(id: SessionID(high: 0, low: 0), begun: 0, regions: regions, creator: "a liar")
        header.isComplete = true
        header.deviceStateBytes = ImageLayout.maximumDeviceStateBytes
        try TestFile(folder["image"]).write(header.encode(), at: 0)
        #expect(refusal(folder["image"]) == .length(expected: header.fileBytes, found: 4096))
    }

    @Test func `A page map that contradicts itself is refused even if its checksum is correct`() throws {
        let sample = try SampleImage()
        let file = try RawFile(sample.path)
        let layout = try file.header.layout
        func expectMalformed(_ words: String, _ spoil: () throws -> Void) throws {
            try spoil()
            try file.reseal()
            guard case .malformed(let part, _, let reason)? = fault(sample.path), part.hasPrefix("the page map") || part.hasPrefix("page")
            else {
                Issue.record("\(words): \(String(describing: fault(sample.path)))")
                return
            }
            #expect(reason.contains(words), "\(reason)")
        }
        // Page 1 is data, and also zero.
        try expectMalformed("page 1 has two states") { file.flip(2, at: layout.offset(of: .zero)) }
        file.flip(2, at: layout.offset(of: .zero))
        // Page 4 is zero, and also free.
        try expectMalformed("page 4 has two states") { file.flip(16, at: layout.offset(of: .free)) }
        file.flip(16, at: layout.offset(of: .free))
        // Page 2048 does not exist.
        try expectMalformed("past the last") { file.flip(1, at: layout.offset(of: .data) + 2048 / 8) }
        file.flip(1, at: layout.offset(of: .data) + 2048 / 8)
        // Page 1 is no longer data, but its bytes are still there.
        try expectMalformed("absent") { file.flip(2, at: layout.offset(of: .data)) }
        file.flip(2, at: layout.offset(of: .data))
        // Page 2047 never existed; now it has data whose bytes are in a hole.
        file.flip(0x80, at: layout.offset(of: .data) + 2047 / 8)
        try file.reseal()
        guard case .pageChecksum(2047, _, 0, _)? = fault(sample.path) else {
            Issue.record("\(String(describing: fault(sample.path)))")
            return
        }
    }

    @Test(arguments: 0..<6)
    func `Device state with wrong lengths is refused`(_ variant: Int) throws {
        let sample = try SampleImage()
        let file = try RawFile(sample.path)
        let offset = try file.header.layout.deviceStateOffset
        // The requirement: name length at 0, name "scripted", version at 12, length at 16, one byte. The device's section follows it.
        switch variant {
        case 0: file.write([65, 0, 0, 0], at: offset)
        case 1: file.write([255, 255, 255, 255], at: offset)
        case 2: file.write([4, 0, 0, 0], at: offset + 16)
        case 3: file.write([255, 255, 255, 255], at: offset + 16)
        case 4: file.write([2, 0, 0, 0], at: offset + 16)
        default: file.write([0, 0, 16, 1], at: offset + 16)
        }
        try file.reseal()
        guard case .malformed("the device state", offset, _)? = refusal(sample.path) else {
            Issue.record("\(String(describing: refusal(sample.path)))")
            return
        }
    }

    @Test func `A file that is not an image is refused at once`() throws {
        let folder = try ImageFolder()
        try TestFile(folder["empty"]).finish(byteCount: 0)
        try TestFile(folder["text"]).write(Array("root:x:0:0:root:/root:/bin/bash\n".utf8), at: 0)
        try TestFile(folder["zeros"]).finish(byteCount: 1 << 40)
        for name in ["empty", "text", "zeros"] { #expect(refusal(folder[name]) == .notAnImage, "\(name)") }
        #expect(unsafe mkfifo(folder["fifo"], 0o600) == 0)
        for path in [folder["fifo"], folder["missing"], folder.path, "/dev/zero", "/dev/null"] {
            guard case .system? = refusal(path) else {
                Issue.record("\(path): \(String(describing: refusal(path)))")
                continue
            }
        }
    }

    @Test func `A damaged page, a shrinking file and the doorbell end preloading`() throws {
        let sample = try SampleImage()
        let file = try RawFile(sample.path)
        let offset = try file.header.layout.offset(of: PageIndex(1001))
        func ending(_ doorbell: Doorbell? = nil, before: () -> Void = {}) throws -> ImageError? {
            let image = try GuestImage(opening: sample.path)
            before()
            let memory = try GuestRAM(image.header.regions)
            do throws(ImageError) { try image.preload(into: memory, doorbell: doorbell) } catch { return error }
            return nil
        }
        #expect(try ending() == nil)
        let doorbell = try Doorbell()
        doorbell.ring()
        #expect(try ending(doorbell) == .interrupted)

        file.flip(1, at: offset + 4095)
        guard case .pageChecksum(1001, offset, _, _)? = try ending() else {
            Issue.record("the damaged page was not named")
            return
        }
        file.flip(1, at: offset + 4095)

        // The cut is in the middle of a page, so its remainder is not a block.
        let image = try GuestImage(opening: sample.path)
        try image.preload(into: GuestRAM(image.header.regions))
        file.setLength(offset + 100)
        #expect(throws: ImageError.self) { _ = try image.verify() }
        let memory = try GuestRAM(image.header.regions)
        #expect(throws: ImageError.self) { try image.preload(into: memory) }
    }
}
