import AerostatGuestMemory
import AerostatHost
import Foundation
import Glibc
import TestSupport
import Testing

@Suite struct ImageMemoryTests {
    private static let pages = 4096
    /// In blocks 0, 2 and 7 of 2 MiB. The last one ends with the guest.
    private static let data = [3, 4, 5, 511] + Array(1100..<1200) + [4095]

    @Test(arguments: [true, false])
    func `Memory is what the file holds, and zero elsewhere; the file never changes`(coversHoles: Bool) throws {
        let file = try ImageFile(pages: Self.pages, data: Self.data)
        defer { file.remove() }
        let memory = try file.memory(pages: Self.pages, data: Self.data, coversHoles: coversHoles)
        #expect(try memory.presentPages() == Self.data, "untouched pages with data exist")
        var page = [UInt8](repeating: 0, count: 4096)
        for index in 0..<Self.pages {
            let byte = Self.data.contains(index) ? ImageFile.byte(index) : 0
            #expect(try memory.firstByte(index) == byte)
            #expect(memory.isZero(PageIndex(index)) == (byte == 0))
            page = [UInt8](repeating: byte, count: 4096)
            var checksum = CRC32C()
            unsafe checksum.addPortably(page.span.bytes)
            #expect(memory.checksum(PageIndex(index)) == checksum.value)
        }
        #expect(try memory.presentPages().filter { $0 < 512 || $0 >= 1024 && $0 < 1536 } == Self.data.filter { $0 < 1536 }, "read holes")
        for index in [3, 6, 1024, 2000, 4095] { try memory.setFirstByte(index, 9) }
        try memory.populate(PageRun(8, 4))
        memory.clear(PageRun(4, 1))
        #expect(try Set([3, 6, 8, 9, 10, 11, 1024, 2000, 4095]).isSubset(of: memory.presentPages()))
        #expect(memory.isZero(PageIndex(4)) && memory.isZero(PageIndex(8)))
        let again = try file.memory(pages: Self.pages, data: Self.data)
        #expect(try [3, 4, 6, 4095].map { try again.firstByte($0) } == [ImageFile.byte(3), ImageFile.byte(4), 0, ImageFile.byte(4095)])
    }

    @Test(arguments: [false, true], [true, false])
    func `A discarded page reads as zero, not as the file has it, and is absent`(isTouched: Bool, coversHoles: Bool) throws {
        let file = try ImageFile(pages: Self.pages, data: Self.data)
        defer { file.remove() }
        let memory = try file.memory(pages: Self.pages, data: Self.data, coversHoles: coversHoles)
        if isTouched { for page in Self.data { try memory.setFirstByte(page, 77) } }
        // From an anonymous block over holes and data of a mapped one; a part of a run; twice; the last page.
        for run in [PageRun(1000, 150), PageRun(4, 1), PageRun(4, 1), PageRun(0, 4), PageRun(4095, 1)] { try memory.discard(run) }
        let left = [5, 511] + Array(1150..<1200)
        #expect(try memory.presentPages() == left)
        for page in Array(0..<512) + Array(1000..<1200) + [4095] {
            let byte = left.contains(page) ? (isTouched ? 77 : ImageFile.byte(page)) : 0
            #expect(try memory.firstByte(page) == byte, "page \(page)")
        }
        try memory.setFirstByte(4, 1)
        #expect(try memory.presentPages().contains(4))
        try memory.discard(PageRun(0, Self.pages))
        #expect(try memory.presentPages() == [])
        #expect((0..<Self.pages).allSatisfy { memory.isZero(PageIndex($0)) })
    }

    @Test func `If mappings run out, discarded pages are cleared`() throws {
        let pages = 80_000
        let file = try ImageFile(pages: pages, data: [])
        defer { file.remove() }
        let memory = try file.memory(pages: pages, data: 0..<pages)
        for page in stride(from: 0, to: pages, by: 2) {
            try memory.discard(PageRun(page, 1))
            if page % 8 == 0 { try memory.setFirstByte(page + 1, 3) }
        }
        #expect(try stride(from: 0, to: pages, by: 2).allSatisfy { try memory.firstByte($0) == 0 })
        #expect(try stride(from: 1, to: pages, by: 8).allSatisfy { try memory.firstByte($0) == 3 })
        let lines = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8).split(separator: "\n").count
        #expect(lines < 40_000, "mappings are left for others")
    }

    @Test func `Data scattered over a large guest takes a bounded number of mappings`() throws {
        let pages = 1 << 26
        let data = Array(stride(from: 7, to: pages, by: 2048))
        let file = try ImageFile(pages: pages, data: [7, 7 + 2048])
        defer { file.remove() }
        let memory = try file.memory(pages: pages, data: data, coversHoles: true)
        let lines = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8).split(separator: "\n").count
        #expect(lines < 20_000)
        #expect(try memory.firstByte(7) == ImageFile.byte(7) && memory.firstByte(7 + 2048) == ImageFile.byte(7 + 2048))
        #expect(try memory.presentPages() == data)
    }

    private static let memoryFolder = "/dev/shm"
    private static let hasMemoryFolder = unsafe access(memoryFolder, W_OK) == 0

    @Test func `Reading all of a guest, and writing to it, does not make its image grow`() throws {
        try expectNoGrowth(in: NSTemporaryDirectory())
    }

    @Test(.enabled(if: hasMemoryFolder, "no /dev/shm"))
    func `The same holds on a tmpfs, which allocates a hole that is read through a mapping`() throws {
        try expectNoGrowth(in: Self.memoryFolder)
    }

    private func expectNoGrowth(in folder: String) throws {
        let file = try ImageFile(pages: Self.pages, data: Self.data, in: folder)
        defer { file.remove() }
        let before = file.blocks
        let memory = try file.memory(pages: Self.pages, data: Self.data)
        for page in 0..<Self.pages { #expect(try memory.firstByte(page) == (Self.data.contains(page) ? ImageFile.byte(page) : 0)) }
        #expect(file.blocks == before)
        for page in stride(from: 0, to: Self.pages, by: 7) { try memory.setFirstByte(page, 1) }
        #expect(file.blocks == before)
    }

    @Test func `If holes must not be mapped, the longest runs of scattered data are mapped and the others are read`() throws {
        // More runs than mappings: 8000 of two pages, and 1000 of one.
        let twos = (0..<8000).map { $0 * 4 }
        let ones = (8000..<9000).map { $0 * 4 }
        let pages = 9000 * 4
        let data = twos.flatMap { [$0, $0 + 1] } + ones
        let file = try ImageFile(pages: pages, data: data)
        defer { file.remove() }
        let memory = try file.memory(pages: pages, data: data, coversHoles: false)
        #expect(memory.pagesReadAtStart == 1000 - 192)
        for page in 0..<pages {
            let isData = page % 4 == 0 || page % 4 == 1 && page < 32_000
            let byte = try memory.firstByte(page)
            guard byte != (isData ? ImageFile.byte(page) : 0) else { continue }
            Issue.record("page \(page) holds \(byte)")
            break
        }
        #expect(try memory.presentPages() == data)
        // A page that was read is ordinary memory: it can be written, discarded, and is gone.
        let last = ones[999]
        try memory.setFirstByte(last, 5)
        try memory.discard(PageRun(last, 1))
        try memory.discard(PageRun(twos[0], 2))
        #expect(try memory.firstByte(last) == 0 && memory.firstByte(twos[0]) == 0)
        #expect(try memory.presentPages() == data.filter { $0 != last && $0 > 1 })
    }

    @Test func `A file that ends before the memory does is refused`() throws {
        let file = try ImageFile(pages: 1000, data: [3])
        defer { file.remove() }
        // The last block with data ends with the guest, past the file's end.
        #expect(throws: SystemError.self) { _ = try file.memory(pages: 1001, data: [600]) }
        _ = try file.memory(pages: 1001, data: [3])
    }

    @Test func `A page that the file can no longer provide ends the process with a line that says so`() async throws {
        let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
            let file = try ImageFile(pages: 4096, data: [3, 700])
            let memory = try file.memory(pages: 4096, data: [3, 700])
            #expect(try memory.firstByte(3) == ImageFile.byte(3))
            file.truncate(byteCount: ImageFile.offset + 4 * 4096)
            file.remove()
            try memory.touch(700)
        }
        let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
        #expect(text.contains("aerostat: guest memory could not be read from the image /"))
        #expect(
            text.contains(" at offset \(2 << 20 + 700 * 4096) (page 700): the file was truncated or the disk failed; the guest is lost\n")
        )
    }

    @Test func `Any other bus error still kills the process`() async {
        await #expect(processExitsWith: .signal(SIGBUS)) {
            let file = try ImageFile(pages: 4096, data: [3])
            let other = try ImageFile(pages: 512, data: [3])
            let mapping = try Mapping(anonymousByteCount: 4096)
            try mapping.mapFile(try other.open(), at: 0, over: 0..<4096)
            let memory = try file.memory(pages: 4096, data: [3])
            other.truncate(byteCount: 0)
            other.remove()
            file.remove()
            touch(mapping)
            _ = memory
        }
    }

    @Test func `A range that is no longer guest memory is forgotten`() throws {
        let file = try ImageFile(pages: 8, data: [3])
        defer { file.remove() }
        // More than the number of slots.
        for _ in 0..<200 { _ = try file.memory(pages: 8, data: [3]) }
        var held: [GuestRAM] = []
        #expect(throws: SystemError.self) { for _ in 0..<100 { held.append(try file.memory(pages: 8, data: [3])) } }
    }
}

private func touch(_ mapping: borrowing Mapping) { unsafe mapping.base.storeBytes(of: 1, as: UInt8.self) }
