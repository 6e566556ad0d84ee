import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc
import TestSupport
import Testing

/// A folder for images, which is removed with this object, and ways to damage its files.
final class ImageFolder: Sendable {
    private let folder: TestFolder

    init() throws { folder = try TestFolder() }

    var path: String { folder.path }
    var entries: [String] { folder.entries }
    subscript(name: String) -> String { folder[name] }

    /// An image of some pages of `memory`, written frame by frame.
    /// - Parameter rounds: what is sent in each round. Later rounds win.
    @discardableResult
    func write(
        _ name: String = "image",
        of memory: GuestRAM,
        rounds: [[RunDescriptor]],
        requirements: [DeviceSection] = [DeviceSection(name: "scripted", version: 7, bytes: [9])],
        sections: [DeviceSection] = [DeviceSection(name: "scripted", version: 1, bytes: [1, 2, 3])],
        runs: Bool = true,
        punchesHoles: Bool = true
    ) throws -> String {
        let link = try makeFileTransport(self[name], doorbell: try Doorbell(), punchesHoles: punchesHoles)
        link.pageCount = memory.pageCount
        func send(_ frame: Frame) throws {
            while !link.canSend { try link.wait(until: nil) }
            try link.send(frame, from: memory)
        }
        func receive() throws -> Frame {
            while true {
                if let frame = try link.takeFrame() { return frame }
                try link.wait(until: nil)
            }
        }
        let id = SessionID(high: 1, low: 2)
        try send(.hello(Hello(session: id, regions: memory.regions, capabilities: [], requirements: requirements)))
        _ = try receive()
        for (index, round) in rounds.enumerated() {
            try send(.roundBegin(UInt32(index + 1)))
            try send(.runs(round, round: UInt32(index + 1)))
            try send(.roundEnd(UInt32(index + 1)))
            _ = try receive()
        }
        for section in sections { try send(.deviceState(section)) }
        try send(.switchover(sections: sections.count, guestRuns: runs))
        _ = try receive()
        try send(.commit)
        #expect(try receive() == .running)
        return self[name]
    }
}

/// Eight MiB of a guest, in two regions. Page p holds data if p % 4 is 1 or 2, zeros if it is 0, and is free if it is 3. The last quarter
/// does not exist.
struct SampleImage {
    static let pages = 2048
    static let existing = 1536

    let folder: ImageFolder
    let memory: GuestRAM
    let path: String

    init(stamp: UInt64 = 7, runs: Bool = true) throws {
        folder = try ImageFolder()
        memory = try GuestRAM(regionTable([(0, 512), (1024, UInt64(Self.pages) - 512)]))
        var round: [RunDescriptor] = []
        for page in 0..<Self.existing {
            switch page % 4 {
            case 0: round.append(RunDescriptor(.zero, PageRun(page, 1)))
            case 1:
                round.append(RunDescriptor(.data, PageRun(page, 2)))
                for page in page...page + 1 { ScriptedGuest.scribble(memory, page, with: stamp) }
            case 3: round.append(RunDescriptor(.free, PageRun(page, 1)))
            default: break
            }
        }
        let halves = [Array(round[..<500]), Array(round[500...])]
        path = try folder.write(of: memory, rounds: halves, runs: runs)
    }
}

/// A file that is being damaged.
struct RawFile: ~Copyable {
    private let descriptor: OwnedDescriptor

    init(_ path: String) throws { descriptor = try OwnedDescriptor.open(path, flags: O_RDWR) }

    var byteCount: Int { lseek(descriptor.number, 0, SEEK_END) }

    func bytes(_ range: Range<Int>) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        _ = unsafe pread(descriptor.number, &bytes, bytes.count, range.lowerBound)
        return bytes
    }

    func write(_ bytes: [UInt8], at offset: Int) {
        #expect(unsafe pwrite(descriptor.number, bytes, bytes.count, offset) == bytes.count)
    }

    func flip(_ mask: UInt8, at offset: Int) { write([bytes(offset..<offset + 1)[0] ^ mask], at: offset) }

    func setLength(_ byteCount: Int) { #expect(ftruncate(descriptor.number, byteCount) == 0) }

    /// Whether the file system has stored a block.
    func isStored(_ offset: Int) -> Bool { lseek(descriptor.number, offset, 3) == offset }

    var header: ImageHeader {
        get throws { try ImageHeader(decoding: bytes(0..<4096), fileBytes: byteCount) }
    }

    /// Writes bytes into the header and corrects its checksum.
    func forgeHeader(_ bytes: [UInt8], at offset: Int) {
        var block = self.bytes(0..<4096)
        block.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        var tail = FieldBytes()
        tail.append(CRC32C.of(Array(block[..<4092])))
        write(Array(block[..<4092]) + tail.bytes, at: 0)
    }

    /// Corrects the header's checksums and counts for the present tables, as a forger of images would.
    func reseal(deviceStateBytes: Int? = nil, deviceSections: Int? = nil) throws {
        var header = try header
        let layout = header.layout
        func blocks(_ range: Range<Int>) -> UInt32 {
            var checksum = BlockChecksum()
            for offset in stride(from: range.lowerBound, to: range.upperBound, by: 4096) {
                checksum.add((offset - layout.tablesOffset) / 4096, bytes(offset..<offset + 4096))
            }
            return checksum.value
        }
        func count(_ table: ImageLayout.Table) -> Int {
            bytes(layout.offset(of: table)..<layout.offset(of: table) + layout.byteCount(of: table)).reduce(0) { $0 + $1.nonzeroBitCount }
        }
        header.deviceStateBytes = deviceStateBytes ?? header.deviceStateBytes
        header.deviceSections = deviceSections ?? header.deviceSections
        header.bitmapsChecksum = blocks(layout.tablesOffset..<layout.offset(of: .checksums))
        header.checksumsChecksum = blocks(layout.offset(of: .checksums)..<layout.deviceStateOffset)
        header.deviceStateChecksum = CRC32C.of(bytes(layout.deviceStateOffset..<layout.deviceStateOffset + header.deviceStateBytes))
        (header.dataPages, header.zeroPages, header.freePages) = (count(.data), count(.zero), count(.free))
        write(header.encode(), at: 0)
    }
}

/// The error of opening an image; `nil` if it opens.
func refusal(_ path: String) -> ImageError? {
    do throws(ImageError) {
        _ = try GuestImage(opening: path)
        return nil
    } catch {
        return error
    }
}

/// The error of opening and verifying an image; `nil` if nothing is found.
func fault(_ path: String) -> ImageError? {
    do throws(ImageError) { return try GuestImage(opening: path).verify().firstFault } catch { return error }
}
