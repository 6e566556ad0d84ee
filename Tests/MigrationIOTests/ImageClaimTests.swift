import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc
import TestSupport
import Testing

/// A guest in an image has one owner.
@Suite struct ImageClaimTests {
    /// A few pages.
    private struct Sample {
        let folder: ImageFolder
        let memory: GuestRAM
        let path: String

        init(stamp: UInt64 = 7) throws {
            folder = try ImageFolder()
            memory = try GuestRAM(regionTable(pages: 64))
            for page in 0..<8 { ScriptedGuest.scribble(memory, page, with: stamp) }
            path = try folder.write(of: memory, rounds: [[RunDescriptor(.data, PageRun(0, 8))]])
        }
    }

    private let sample: Sample

    init() throws { sample = try Sample() }

    private func open(_ use: ImageUse) throws(ImageError) -> GuestImage { try GuestImage(opening: sample.path, for: use) }

    @Test func `A started guest excludes starts and copies, copies exclude a start, both with a message, and reading is allowed`() throws {
        var guest: GuestImage? = try open(.starting)
        #expect(throws: ImageError.inUse(byCopies: false)) { try open(.starting) }
        #expect(throws: ImageError.inUse(byCopies: false)) { try open(.copying) }
        #expect(try open(.reading).verify().isClean)
        guest = nil
        var copies: [GuestImage] = [try open(.copying), try open(.copying)]
        #expect(throws: ImageError.inUse(byCopies: true)) { try open(.starting) }
        // The refused attempts took no lock away.
        #expect(throws: ImageError.inUse(byCopies: true)) { try open(.starting) }
        copies.removeLast()
        #expect(throws: ImageError.inUse(byCopies: true)) { try open(.starting) }
        copies = []
        guest = try open(.starting)
        withExtendedLifetime(guest) {}
    }

    @Test func `The claim alone keeps the image, and so does the guest's memory alone`() throws {
        var claim = try open(.starting).claim
        #expect(claim?.isExclusive == true)
        #expect(throws: ImageError.inUse(byCopies: false)) { try open(.starting) }
        claim = nil
        var memory: GuestRAM? = try open(.starting).lazyMemory()
        #expect(throws: ImageError.inUse(byCopies: false)) { try open(.starting) }
        withExtendedLifetime(memory) {}
        memory = nil
        _ = try open(.starting)
    }

    @Test(arguments: [ImageUse.starting, .copying]
    )
    func `An image that is replaced between its opening and its claim is not the one that is started`(use: ImageUse) throws {
        let other = try Sample(stamp: 99)
        var openings = 0
        let image = try GuestImage(opening: sample.path, for: use) {
            openings += 1
            if openings == 1 { #expect(unsafe rename(other.path, sample.path) == 0) }
        }
        #expect(openings == 2)
        // It holds the file that the path leads to.
        #expect(throws: ImageError.self) { try open(.starting) }
        #expect(try image.compare(with: open(.reading)).isSameMemory)
        let memory = try image.lazyMemory()
        #expect(memory.checksum(PageIndex(1)) == other.memory.checksum(PageIndex(1)))
        #expect(memory.checksum(PageIndex(1)) != sample.memory.checksum(PageIndex(1)))
    }

    @Test func `An image that is replaced again and again is refused, and so is one that is gone`() throws {
        var number = 0
        #expect(throws: ImageError.self) {
            try GuestImage(opening: sample.path, for: .starting) {
                number += 1
                _ = try? sample.folder.write("next", of: sample.memory, rounds: [])
                unsafe rename(sample.folder["next"], sample.path)
            }
        }
        #expect(number == 8)
        #expect(throws: ImageError.self) { try GuestImage(opening: sample.path, for: .starting) { unsafe unlink(sample.path) } }
    }

    @Test func `A link to an image is claimed as the image`() throws {
        #expect(unsafe symlink("image", sample.folder["link"]) == 0)
        let image = try GuestImage(opening: sample.folder["link"], for: .starting)
        #expect(throws: ImageError.inUse(byCopies: false)) { try open(.starting) }
        withExtendedLifetime(image) {}
    }

    @Test func `An image whose guest has left starts only as a copy, and is otherwise unchanged`() throws {
        let before = try RawFile(sample.path).bytes(0..<4096)
        var image: GuestImage? = try open(.starting)
        try #require(image?.claim).setLeft(true)
        image = nil
        #expect(throws: ImageError.left) { try open(.starting) }
        let copy = try open(.copying)
        #expect(copy.hasLeft && ImageSummary(copy).hasLeft && copy.claim?.isExclusive == false)
        #expect(try copy.verify().isClean && copy.header.guestRuns)
        #expect(try RawFile(sample.path).bytes(0..<4096) == before)
    }

    @Test func `When the guest stays after all, its image is byte for byte as before`() throws {
        let before = try RawFile(sample.path).bytes(0..<2 << 20)
        do {
            let image = try open(.starting)
            let claim = try #require(image.claim)
            try claim.setLeft(true)
            #expect(try open(.reading).hasLeft)
            try claim.setLeft(false)
        }
        #expect(try open(.starting).hasLeft == false)
        #expect(try RawFile(sample.path).bytes(0..<2 << 20) == before)
    }

    @Test func `The mark goes into the guest's own image, even if another file has its name by now`() throws {
        let claim = try #require(try open(.starting).claim)
        try sample.folder.write("image", of: sample.memory, rounds: [])
        try claim.setLeft(true)
        #expect(try open(.starting).hasLeft == false)
    }

    @Test func `Setting the mark needs no space on a full disk`() throws {
        func blocks() -> Int {
            var status = stat()
            return unsafe stat(sample.path, &status) == 0 ? Int(status.st_blocks) : -1
        }
        let before = blocks()
        try #require(try open(.starting).claim).setLeft(true)
        #expect(blocks() == before)
    }

    @Test func `An invalid mark is refused, with its offset`() throws {
        try RawFile(sample.path).write(Array("MOVED OF".utf8), at: 4096)
        guard case .malformed(_, 4096, _)? = refusal(sample.path) else {
            Issue.record("\(refusal(sample.path) as Any)")
            return
        }
    }

    @Test func `An image that is still being written cannot be started`() throws {
        let file = try OutputFile(sample.folder["other"], .image)
        try file.write(try RawFile(sample.path).bytes(0..<4096), at: 0)
        #expect(throws: ImageError.inUse(byCopies: false)) { try GuestImage(opening: sample.folder["other.partial"], for: .starting) }
    }
}
