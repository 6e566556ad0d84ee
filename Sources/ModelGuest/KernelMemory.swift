package import AerostatGuestMemory
import AerostatHost
import Synchronization

/// The model kernel found its own tables broken: its memory was lost or damaged. It halts, as a real kernel would. The process continues.
package struct KernelPanic: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// Guest RAM as the model kernel sees it: plain values at byte offsets, page contents, frame records.
///
/// Offsets count through the regions as if these were adjacent. The unsafe code of this module is in this file and in `PageContent`. Every
/// access is bounded by the RAM, and every write is marked, as the write door requires.
@safe
package struct KernelMemory: Sendable {
    package let ram: GuestRAM
    package let layout: KernelLayout

    package init(_ ram: GuestRAM) {
        self.ram = ram
        layout = KernelLayout(ram.regions)
    }

    // MARK: Plain values

    /// Loads a value that `store` stored. It must be aligned and lie in one page.
    package func load<Value: BitwiseCopyable>(_ type: Value.Type = Value.self, at offset: Int) -> Value {
        let (page, inside) = place(offset, MemoryLayout<Value>.self)
        return unsafe ram.hostAddress(of: page).load(fromByteOffset: inside, as: Value.self)
    }

    package func store<Value: BitwiseCopyable>(_ value: Value, at offset: Int) {
        let (page, inside) = place(offset, MemoryLayout<Value>.self)
        unsafe ram.hostAddress(of: page).storeBytes(of: value, toByteOffset: inside, as: Value.self)
        ram.markWritten(page)
    }

    private func place<Value>(_ offset: Int, _ layout: MemoryLayout<Value>.Type) -> (PageRun, Int) {
        let inside = offset & (GuestPage.size - 1)
        precondition(offset % layout.alignment == 0 && inside + layout.size <= GuestPage.size, "a kernel value crosses a page")
        return (PageRun(first: PageIndex(offset >> GuestPage.shift), count: 1), inside)
    }

    // MARK: Frame records

    package func record(of frame: Int) -> FrameRecord { load(at: layout.recordOffset(of: frame)) }

    package func setRecord(_ record: FrameRecord, of frame: Int) {
        updateRecords(frame..<frame + 1) { $1 = record }
    }

    /// Whether a free block begins at a frame. If the block is another vCPU's, that vCPU may be writing the frame's record now; the record
    /// says "allocated" before and after.
    func isFree(_ frame: Int, order: Int) -> Bool {
        let (page, inside) = place(layout.recordOffset(of: frame), MemoryLayout<FrameRecord>.self)
        return FrameRecord.isHead(unsafe word(ram.hostAddress(of: page) + inside).pointee.load(ordering: .relaxed), .free, order: order)
    }

    /// The first word of a record. Others may read it without the kernel's lock.
    @unsafe private func word(_ record: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Atomic<UInt32>> {
        unsafe record.assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    /// Changes the records of consecutive frames in place.
    func updateRecords(_ frames: Range<Int>, _ body: (_ frame: Int, inout FrameRecord) -> Void) {
        guard !frames.isEmpty else { return }
        let start = layout.recordOffset(of: frames.lowerBound)
        let run = pages(from: start, to: layout.recordOffset(of: frames.upperBound))
        unsafe ram.withWritablePages(run) { buffer in
            var offset = start - run.first.rawValue << GuestPage.shift
            for frame in frames {
                let place = unsafe buffer.baseAddress! + offset
                var record = unsafe place.load(as: FrameRecord.self)
                body(frame, &record)
                unsafe word(place).pointee.store(record.word, ordering: .relaxed)
                unsafe place.storeBytes(of: record.generation, toByteOffset: 4, as: UInt32.self)
                unsafe place.storeBytes(of: record.next, toByteOffset: 8, as: UInt32.self)
                unsafe place.storeBytes(of: record.previous, toByteOffset: 12, as: UInt32.self)
                offset += KernelLayout.recordBytes
            }
        }
    }

    /// Zeros the records of one block of the top order. They are whole pages.
    func clearRecords(ofBlock block: Int) {
        let offset = layout.recordOffset(of: block << KernelLayout.topOrder)
        ram.clear(PageRun(first: PageIndex(offset >> GuestPage.shift), count: KernelLayout.recordPagesPerBlock))
    }

    private func pages(from start: Int, to end: Int) -> PageRun {
        let first = start >> GuestPage.shift
        return PageRun(first: PageIndex(first), count: (end - 1) >> GuestPage.shift - first + 1)
    }

    // MARK: Page contents

    /// Writes each frame's content for a generation that is one higher than its record's, and marks its record as stamped.
    func stamp(_ frames: Range<Int>, seed: UInt64) {
        updateRecords(frames) { _, record in record.stamp() }
        unsafe ram.withWritablePages(PageRun(first: PageIndex(frames.lowerBound), count: frames.count)) { buffer in
            for frame in frames {
                let page = unsafe buffer.baseAddress! + (frame - frames.lowerBound) << GuestPage.shift
                unsafe PageContent(seed: seed, frame: frame, generation: record(of: frame).generation).fill(page)
            }
        }
    }

    /// Fills frames with copies of a word.
    func fill(_ frames: Range<Int>, with word: UInt32) {
        guard !frames.isEmpty else { return }
        unsafe ram.withWritablePages(PageRun(first: PageIndex(frames.lowerBound), count: frames.count)) { buffer in
            for offset in stride(from: 0, to: buffer.count, by: 8) {
                unsafe buffer.storeBytes(of: UInt64(word) << 32 | UInt64(word), toByteOffset: offset, as: UInt64.self)
            }
        }
    }

    /// The first word of a frame that differs from the word it was filled with.
    package func firstWord(of frame: Int, otherThan word: UInt32) -> UInt64? {
        let page = unsafe UnsafeRawPointer(ram.hostAddress(of: PageRun(first: PageIndex(frame), count: 1)))
        for offset in stride(from: 0, to: GuestPage.size, by: 8) {
            let found = unsafe page.load(fromByteOffset: offset, as: UInt64.self)
            if found != UInt64(word) << 32 | UInt64(word) { return found }
        }
        return nil
    }

    /// Compares a frame's bytes with what its record says.
    func verify(_ frame: Int, generation: UInt32, seed: UInt64) -> PageContent.Difference? {
        let page = unsafe UnsafeRawPointer(ram.hostAddress(of: PageRun(first: PageIndex(frame), count: 1)))
        return unsafe PageContent(seed: seed, frame: frame, generation: generation).firstDifference(page)
    }

    /// The CRC-32C of a frame's bytes.
    func checksum(of frame: Int) -> UInt32 { checksum(at: frame << GuestPage.shift, byteCount: GuestPage.size) }

    /// The CRC-32C of bytes in one page, through a copy: the checksum wants bytes that stand still.
    func checksum(at offset: Int, byteCount: Int) -> UInt32 {
        let inside = offset & (GuestPage.size - 1)
        precondition(byteCount > 0 && inside + byteCount <= GuestPage.size, "bytes in more than one page")
        let page = PageRun(first: PageIndex(offset >> GuestPage.shift), count: 1)
        return unsafe withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: 8) { copy in
            unsafe copy.copyMemory(from: UnsafeRawBufferPointer(start: ram.hostAddress(of: page) + inside, count: byteCount))
            var checksum = CRC32C()
            unsafe checksum.add(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(copy)))
            return checksum.value
        }
    }

    /// Fills a frame with a page from elsewhere.
    func write(_ page: Span<UInt64>, to frame: Int) {
        precondition(page.count * 8 == GuestPage.size, "a frame is written whole")
        unsafe ram.withWritablePages(PageRun(first: PageIndex(frame), count: 1)) { target in
            unsafe page.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
        }
    }
}
