import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc
import TestSupport
import Testing

/// Intact images.
@Suite(.serialized) struct ImageTests {
    /// Writes a guest's image by a complete migration.
    private func migrate(_ setup: Pair.Setup, to path: String) throws -> Pair {
        let pair = try Pair(setup)
        try pair.migration.start(to: .file(path: path))
        #expect(pair.migration.wait() == .completed, "\(pair.migration.report)")
        return pair
    }

    /// Every page of the image equals the guest's, except free ones, and everything that is not data is a hole.
    private func expectImage(_ path: String, holds memory: GuestRAM, isFree: (Int) -> Bool = { _ in false }) throws {
        let image = try GuestImage(opening: path)
        let verification = try image.verify()
        #expect(verification.isClean && verification.pagesChecked == image.header.dataPages, "\(verification)")
        let restored = try GuestRAM(image.header.regions)
        try image.preload(into: restored)
        for page in 0..<memory.pageCount where !isFree(page) {
            #expect(restored.digest(PageIndex(page)) == memory.digest(PageIndex(page)), "page \(page)")
        }
    }

    @Test(arguments: trackers, [false, true])
    func `The image of a guest that keeps writing holds the guest's final state`(tracker: TrackerKind, hints: Bool) throws {
        let folder = try ImageFolder()
        var setup = Pair.Setup(tracker: tracker, writing: 40, working: 100..<1200, hints: hints ? .honest : nil, filled: 0..<1600)
        setup.free = hints ? 700..<1500 : 0..<0
        setup.parameters.verifies = true
        // Slow, so that pages change in every round, and while they are being written.
        setup.parameters.bandwidthLimit = 20 << 20
        setup.parameters.downtimeLimit = .milliseconds(6)
        setup.parameters.timeout = .milliseconds(1000)
        setup.parameters.onTimeout = .pause
        let pair = try migrate(setup, to: folder["image"])
        defer { pair.end() }
        let report = pair.migration.report
        #expect(report.verify?.status == .passed && report.rounds.count >= 3)
        #expect(folder.entries == ["image"])
        let image = try GuestImage(opening: folder["image"])
        #expect(image.deviceSections == pair.source.sections && image.requirements == pair.source.requirements && image.header.guestRuns)
        #expect(image.header.dataPages < report.ram.normal, "no page was sent again")
        if hints { #expect(image.header.freePages >= 300) }
        try expectImage(folder["image"], holds: pair.source.memory, isFree: pair.source.isFree)
    }

    @Test func `A paused guest's image says so, and keeps the order of its requirements and sections`() throws {
        let sample = try SampleImage(runs: false)
        let sections = (0..<3).map {
            DeviceSection(name: "section \($0)", version: UInt32($0), bytes: Array(repeating: 9, count: 5000 * $0))
        }
        let requirements = [DeviceSection(name: "a", version: 1, bytes: []), DeviceSection(name: "b", version: 2, bytes: [1, 2])]
        try sample.folder.write(
            "other",
            of: sample.memory,
            rounds: [],
            requirements: requirements,
            sections: sections,
            runs: false
        )
        #expect(try GuestImage(opening: sample.path).header.guestRuns == false)
        let other = try GuestImage(opening: sample.folder["other"])
        #expect(other.deviceSections == sections && other.requirements == requirements)
        #expect(ImageSummary(other).requirements.map(\.name) == ["a", "b"])
        #expect(fault(sample.folder["other"]) == nil)
    }

    @Test func `Pages without data are holes and read as zero, and only the others take space`() throws {
        let sample = try SampleImage()
        try expectImage(sample.path, holds: sample.memory)
        let image = try GuestImage(opening: sample.path)
        #expect((image.header.dataPages, image.header.zeroPages, image.header.freePages) == (768, 384, 384))
        let file = try RawFile(sample.path)
        let layout = image.header.layout
        for page in 0..<SampleImage.pages {
            let isData = page < SampleImage.existing && (page % 4 == 1 || page % 4 == 2)
            #expect(file.isStored(layout.offset(of: PageIndex(page))) == isData, "page \(page)")
        }
        let summary = ImageSummary(image)
        #expect(summary.memoryBytes == SampleImage.pages * 4096 && summary.absentBytes == 512 * 4096)
        // Header, one block for each bitmap, two of checksums, the device state; and what the file system needs for its extents.
        #expect(summary.diskBytes >= 775 * 4096 && summary.diskBytes <= 775 * 4096 + 64 << 10, "\(summary.diskBytes)")
        #expect(summary.fileBytes == file.byteCount)
        #expect(summary.begun?.hasSuffix("Z") == true && summary.id == "00000000000000010000000000000002")
    }

    @Test(arguments: [true, false])
    func `A page that is sent again replaces the old one, and one that became free or zero is a hole again`(punchesHoles: Bool) throws {
        let folder = try ImageFolder()
        let memory = try GuestRAM(regionTable(pages: 1024))
        for page in 0..<600 { ScriptedGuest.scribble(memory, page, with: 3) }
        // Memory now holds the second round's bytes of 0..<100. The first round sent the same pages with other content.
        let rounds: [[RunDescriptor]] = [
            [.init(.zero, PageRun(0, 50)), .init(.free, PageRun(50, 50)), .init(.data, PageRun(100, 500))],
            [.init(.data, PageRun(0, 100)), .init(.free, PageRun(200, 77)), .init(.zero, PageRun(300, 1))],
            [.init(.data, PageRun(210, 3)), .init(.free, PageRun(0, 1)), .init(.free, PageRun(599, 425))],
        ]
        let path = try folder.write(of: memory, rounds: rounds, punchesHoles: punchesHoles)
        let empty = Set([0, 300] + Array(200..<210) + Array(213..<277) + Array(599..<1024))
        let file = try RawFile(path)
        let layout = try file.header.layout
        for page in 0..<1024 {
            let offset = layout.offset(of: PageIndex(page))
            let isZero = file.bytes(offset..<offset + 4096).allSatisfy { $0 == 0 }
            #expect(isZero == empty.contains(page), "page \(page)")
            if punchesHoles { #expect(file.isStored(offset) != empty.contains(page), "page \(page)") }
        }
        try expectImage(path, holds: memory, isFree: empty.contains)
    }

    @Test func `Images of the same memory compare as equal, whatever is free in either`() throws {
        let (a, b) = (try SampleImage(), try SampleImage())
        let equal = try GuestImage(opening: a.path).compare(with: GuestImage(opening: b.path))
        #expect(equal.isSameMemory && equal.pagesFree == 384 && equal.pagesCompared == SampleImage.pages - 384)
        #expect(equal.differingSections == [])

        // Page 1 changed, page 2 free in the other, page 4 zero here and absent there, page 9 zero here and data there.
        ScriptedGuest.scribble(a.memory, 1, with: 99)
        ScriptedGuest.scribble(a.memory, 8, with: 5)
        let one = [RunDescriptor(.data, PageRun(1, 2)), .init(.zero, PageRun(4, 1)), .init(.zero, PageRun(9, 1))]
        let two = [RunDescriptor(.data, PageRun(1, 1)), .init(.free, PageRun(2, 1)), .init(.data, PageRun(9, 1))]
        let here = try GuestImage(opening: a.folder.write("here", of: a.memory, rounds: [one]))
        let there = try GuestImage(opening: a.folder.write("there", of: b.memory, rounds: [two], sections: []))
        let different = try here.compare(with: there)
        #expect(different.differences == 2 && different.firstDifference == 1 && different.pagesFree == 1, "\(different)")
        #expect(different.differingSections == ["scripted"] && !different.isSameMemory)

        let small = try GuestRAM(regionTable(pages: 4))
        let other = try GuestImage(opening: a.folder.write("small", of: small, rounds: []))
        #expect(try here.compare(with: other).isSameShape == false)
    }

    @Test func `The image of an empty 1 TiB guest takes almost no space and opens quickly`() throws {
        let folder = try ImageFolder()
        let memory = try GuestRAM(regionTable(pages: 1 << 28))
        ScriptedGuest.scribble(memory, (1 << 28) - 1, with: 1)
        let path = try folder.write(of: memory, rounds: [[.init(.data, PageRun((1 << 28) - 1, 1))]])
        let start = MonotonicClock.now()
        let image = try GuestImage(opening: path)
        let milliseconds = start.duration(to: MonotonicClock.now()).wholeMilliseconds
        #expect(milliseconds < 100)
        #expect(ImageSummary(image).diskBytes < 256 << 10)
        #expect(try image.verify().isClean)
    }
}
