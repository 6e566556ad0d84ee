import AerostatGuestMemory
import AerostatHost

/// Reads a machine's dump block by block, in ascending order. Each block goes into the same private buffer of 4 MiB.
struct DumpReader: ~Copyable {
    /// Facts about each frame of the block that was read last: whether the frame is free.
    private(set) var isFree = [Bool](repeating: false, count: KernelLayout.topBlockPages)
    /// Whether the frame's page has data in the file, and is not just a hole.
    private(set) var isInFile = [Bool](repeating: false, count: KernelLayout.topBlockPages)
    private(set) var checksums = [UInt32](repeating: 0, count: KernelLayout.topBlockPages)
    private(set) var isZero = [Bool](repeating: false, count: KernelLayout.topBlockPages)

    private var flags = [UInt64](repeating: 0, count: KernelLayout.topBlockPages)
    private var content = [UInt64](repeating: 0, count: KernelLayout.topBlockPages * wordsPerPage)
    /// The extent of data in the RAM file at or after the last position. It is kept because searching for its end again in every block
    /// would cost quadratic time.
    private var extent: Range<UInt64> = 0..<0

    private static let wordsPerPage = GuestPage.size / 8
    private static let zeroChecksum = checksum([UInt64](repeating: 0, count: wordsPerPage).span)

    /// Reads the next block: its flags, and those parts of its RAM that are not holes.
    mutating func read(block: Int, of dump: borrowing MachineDump) throws(SystemError) {
        try dump.pageFlags.read(at: UInt64(block * KernelLayout.topBlockPages * MachineDump.flagBytes), into: &flags, flags.indices)
        try readContent(block, dump.ram)
        for frame in 0..<KernelLayout.topBlockPages {
            isFree[frame] = UInt64(littleEndian: flags[frame]) & MachineDump.buddyFlag != 0
            guard isInFile[frame] else {
                (checksums[frame], isZero[frame]) = (Self.zeroChecksum, true)
                continue
            }
            checksums[frame] = Self.checksum(content.span.extracting(words(of: frame)))
            // Most pages are not zero, and their checksum shows that.
            isZero[frame] = checksums[frame] == Self.zeroChecksum && content[words(of: frame)].allSatisfy { $0 == 0 }
        }
    }

    /// Writes the page of a frame that is in the file to guest memory.
    func write(_ frame: Int, to target: Int, _ memory: KernelMemory) { memory.write(content.span.extracting(words(of: frame)), to: target) }

    private func words(of frame: Int) -> Range<Int> { frame * Self.wordsPerPage..<(frame + 1) * Self.wordsPerPage }

    private mutating func readContent(_ block: Int, _ ram: borrowing SourceFile) throws(SystemError) {
        for frame in isInFile.indices { isInFile[frame] = false }
        let start = UInt64(block) * MachineDump.blockBytes
        let end = start + MachineDump.blockBytes
        var position = start
        while position < end {
            if extent.upperBound <= position { extent = try ram.dataExtent(from: position) ?? ram.byteCount..<ram.byteCount }
            guard extent.lowerBound < end, !extent.isEmpty else { return }
            // Rounded to whole pages: a file system's blocks may be smaller.
            let page = UInt64(GuestPage.size)
            let first = Int((max(extent.lowerBound, position) - start) / page)
            let last = Int((min(extent.upperBound, end) - start + page - 1) / page)
            try ram.read(at: start + UInt64(first) * page, into: &content, words(of: first).lowerBound..<words(of: last).lowerBound)
            for frame in first..<last { isInFile[frame] = true }
            position = start + UInt64(last) * page
        }
    }

    private static func checksum(_ words: Span<UInt64>) -> UInt32 {
        var checksum = CRC32C()
        unsafe checksum.add(words.bytes)
        return checksum.value
    }
}
