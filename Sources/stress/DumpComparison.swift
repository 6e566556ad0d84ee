import Foundation

/// Compares two dumps of a model guest's memory byte for byte. All that it knows about the guest it reads from the first dump.
///
/// It shares no code with the engine or the model. The layout of the guest's tables (KernelLayout.swift, FrameRecord.swift) is written
/// down here a second time, so a mistake there is not repeated here.
struct DumpComparison {
    private(set) var pagesCompared = 0
    /// How many pages were left out because the guest calls them free.
    private(set) var pagesFree = 0
    private(set) var differences: [Int] = []
    /// The most entries of `differences` that are listed.
    private static let maximumListed = 20
    private(set) var differenceCount = 0

    struct Unreadable: Error, CustomStringConvertible {
        let description: String
    }

    /// - Parameters:
    ///   - regions: the guest's RAM. Its pages are numbered through all regions without gaps.
    ///   - leavingOutFree: whether free pages may differ. They may if free-page hints were used.
    init(_ source: String, _ destination: String, of regions: [Range<Int>], leavingOutFree: Bool) throws {
        let (left, right) = (try Dump(source, regions), try Dump(destination, regions))
        let pageCount = left.pageCount
        let free = leavingOutFree ? try Self.freeFrames(left) : [Bool](repeating: false, count: pageCount)
        var page = 0
        while page < pageCount {
            let count = min(Self.blockPages, pageCount - page)
            let bytes = page * Self.pageBytes..<(page + count) * Self.pageBytes
            compare(try left.read(bytes), try right.read(bytes), from: page, count, free)
            page += count
        }
    }

    /// The pages of a dump of guest-physical memory, from address 0 to the end of RAM, without the holes between regions.
    private struct Dump {
        let file: FileHandle
        let regions: [Range<Int>]
        var pageCount: Int { regions.reduce(0) { $0 + $1.count } / pageBytes }

        init(_ path: String, _ regions: [Range<Int>]) throws {
            file = try FileHandle(forReadingFrom: URL(filePath: path))
            self.regions = regions
            guard try file.seekToEnd() == UInt64(regions.last!.upperBound) else {
                throw Unreadable(description: "\(path) has the wrong size")
            }
        }

        /// - Parameter offsets: offsets into the regions, laid end to end.
        func read(_ offsets: Range<Int>) throws -> Data {
            var data = Data()
            var start = 0
            for region in regions {
                let piece = offsets.clamped(to: start..<start + region.count)
                if !piece.isEmpty {
                    try file.seek(toOffset: UInt64(region.lowerBound + piece.lowerBound - start))
                    // `nil` means no bytes, as at the end of the file.
                    data += try file.read(upToCount: piece.count) ?? Data()
                }
                start += region.count
            }
            guard data.count == offsets.count else { throw Unreadable(description: "a dump ends early") }
            return data
        }
    }

    private mutating func compare(_ left: Data, _ right: Data, from page: Int, _ count: Int, _ free: [Bool]) {
        let isEqual = left == right
        for index in 0..<count {
            if free[page + index] {
                pagesFree += 1
                continue
            }
            pagesCompared += 1
            if isEqual { continue }
            let bytes = index * Self.pageBytes..<(index + 1) * Self.pageBytes
            if left[bytes] == right[bytes] { continue }
            differenceCount += 1
            if differences.count < Self.maximumListed { differences.append(page + index) }
        }
    }

    // MARK: The guest's tables

    private static let pageBytes = 4096
    /// A block of the top order.
    private static let blockPages = 1024
    /// Header, processors and rings. After them come the claimed bitmap, the held stack and mem_map, each on whole pages.
    private static let bitmapPage = 16
    /// The allocator's record in page 0. Its fifth word counts the held blocks.
    private static let heldCountOffset = 0x200 + 4 * 8
    private static let recordBytes = 16
    private static let stateFree: UInt8 = 1
    private static let stateAllocated: UInt8 = 2
    private static let stateHeld: UInt8 = 3
    /// In the balloon; and free while being reported to the host.
    private static let stateBallooned: UInt8 = 5
    private static let stateIsolated: UInt8 = 6
    /// A byte of a record: whether its page has content, the kernel's own or opaque, and whether it was filled when it was freed.
    private static let contentByte = 2
    private static let contentBits: UInt8 = 0b11
    private static let poisonedBit: UInt8 = 0b100
    private static let virginBit: UInt32 = 1 << 31

    private static func freeFrames(_ dump: Dump) throws -> [Bool] {
        let pageCount = dump.pageCount
        func bytes(at offset: Int, _ count: Int) throws -> [UInt8] { [UInt8](try dump.read(offset..<offset + count)) }
        func wholePages(_ bytes: Int) -> Int { (bytes + pageBytes - 1) / pageBytes * pageBytes }
        func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reversed().reduce(0) { $0 << 8 | Int($1) } }

        // The last pages belong to no block, or to no used block.
        let blocks = pageCount / blockPages
        let bitmapOffset = bitmapPage * pageBytes
        let stackOffset = bitmapOffset + wholePages((blocks + 63) / 64 * 8)
        let mapOffset = stackOffset + wholePages(blocks * 4)
        let firstFrame = (mapOffset + wholePages(pageCount * recordBytes)) / pageBytes

        let claimed = try bytes(at: bitmapOffset, (blocks + 7) / 8)
        let heldCount = number(try bytes(at: heldCountOffset, 8)[...])
        guard heldCount <= blocks else { throw Unreadable(description: "\(heldCount) of \(blocks) blocks are held") }
        let stack = try bytes(at: stackOffset, heldCount * 4)
        let heldVirgin = Set(
            stride(from: 0, to: stack.count, by: 4).compactMap { offset -> Int? in
                let entry = UInt32(number(stack[offset..<offset + 4]))
                return entry & virginBit == 0 ? nil : Int(entry & ~virginBit)
            }
        )

        var free = [Bool](repeating: false, count: pageCount)
        for page in max(firstFrame, blocks * blockPages)..<max(firstFrame, pageCount) { free[page] = true }
        for block in firstFrame / blockPages..<blocks {
            let start = block * blockPages
            if claimed[block / 8] & 1 << UInt8(block % 8) == 0 || heldVirgin.contains(block) {
                for frame in max(start, firstFrame)..<max(start + blockPages, firstFrame) { free[frame] = true }
                continue
            }
            let records = try bytes(at: mapOffset + start * recordBytes, blockPages * recordBytes)
            var frame = 0
            while frame < blockPages {
                let (state, order) = (records[frame * recordBytes], records[frame * recordBytes + 1])
                guard order <= 10 else { throw Unreadable(description: "frame \(start + frame) has order \(order)") }
                let end = frame + 1 << order
                guard end <= blockPages else { throw Unreadable(description: "the block at frame \(start + frame) is too long") }
                for page in frame..<end {
                    // A block that was just free and is not filled yet holds no data either.
                    let content = records[page * recordBytes + contentByte]
                    let isUnwritten = state == stateAllocated && content & contentBits == 0
                    // The guest relies on the pattern in a page that it filled when it freed it.
                    let isNobodys = [stateFree, stateHeld, stateBallooned, stateIsolated].contains(state) || isUnwritten
                    if isNobodys, content & poisonedBit == 0 { free[start + page] = true }
                }
                frame = end
            }
        }
        return free
    }
}
