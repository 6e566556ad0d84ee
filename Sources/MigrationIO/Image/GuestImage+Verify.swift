import AerostatGuestMemory
public import AerostatHost
public import AerostatMigration
import Glibc

/// The result of reading all of an image.
public struct ImageVerification: Hashable, Sendable {
    /// Pages whose bytes were compared with their checksums.
    public fileprivate(set) var pagesChecked = 0
    /// Damaged pages, and other places that should be empty but are not.
    public fileprivate(set) var faults = 0
    /// The fault that lies first in the file.
    public fileprivate(set) var firstFault: ImageError?
    private var firstOffset = Int.max

    /// Whether all of the image is as it was written.
    public var isClean: Bool { faults == 0 }

    fileprivate mutating func note(_ fault: ImageError, at offset: Int) {
        faults += 1
        guard offset < firstOffset else { return }
        (firstFault, firstOffset) = (fault, offset)
    }
}

extension GuestImage {
    /// Reads everything: each page with data must match its checksum, and everything else must be zero.
    /// - Parameters:
    ///   - doorbell: ends it early.
    ///   - progress: called with the number of the image's data pages that were checked so far.
    /// - Throws: an error that prevents checking, such as a read error or a damaged checksum table.
    public func verify(
        doorbell: Doorbell? = nil,
        progress: (_ pagesChecked: Int) -> Void = { _ in }
    ) throws(ImageError) -> ImageVerification {
        try loadChecksums()
        var result = ImageVerification()
        try verifyGaps(&result)
        var walk = StoredPages(self)
        let reads = try FileReads(self, into: nil, doorbell: doorbell)
        unsafe try reads.run { () throws(ImageError) in
            try walk.next { hole in verifyHole(hole, &result) }
        } arrived: { (run, bytes) throws(ImageError) in
            unsafe verify(run, bytes, &result)
            progress(result.pagesChecked)
        }
        return result
    }

    /// Checks what lies between the header and memory, and after the device state's last byte.
    private func verifyGaps(_ result: inout ImageVerification) throws(ImageError) {
        let state = header.layout.deviceStateOffset
        let used = header.deviceStateBytes
        let tail = state + used / ImageLayout.blockBytes * ImageLayout.blockBytes
        for range in [ImageLayout.blockBytes..<ImageLayout.memoryOffset, tail..<header.fileBytes] where !range.isEmpty {
            try forEachBlock(in: range) { (offset, block) throws(ImageError) in
                // The moved-on mark was checked when the image was opened.
                let mark = offset == ImageLayout.leftMarkOffset ? ImageLayout.leftMark(true).count : 0
                let first = range.lowerBound < state ? mark : max(0, state + used - offset)
                guard block[first...].contains(where: { $0 != 0 }) else { return }
                result.note(.malformed(part: "the space between its parts", offset: offset, reason: "it is not empty"), at: offset)
            }
        }
    }

    /// Checks pages that the file system has not stored: they are zeros.
    private func verifyHole(_ hole: PageRun, _ result: inout ImageVerification) {
        for run in tables.data.runs(within: hole) {
            for page in run.indices { compare(PageIndex(page), Self.zeroPageChecksum, &result) }
        }
    }

    private func verify(_ run: PageRun, _ bytes: UnsafeRawPointer, _ result: inout ImageVerification) {
        for index in 0..<run.count {
            let page = run.first + index
            let content = unsafe bytes + index << GuestPage.shift
            if tables.data.contains(page) {
                unsafe compare(page, CRC32C.ofPage(content), &result)
            } else if unsafe !GuestPage.isZero(content) {
                let state = tables.free.contains(page) ? "free" : tables.zero.contains(page) ? "zero" : "absent"
                let offset = header.layout.offset(of: page)
                result.note(
                    .malformed(part: "\(page)", offset: offset, reason: "it holds data, and the page map says \(state)"),
                    at: offset
                )
            }
        }
    }

    private func compare(_ page: PageIndex, _ found: UInt32, _ result: inout ImageVerification) {
        result.pagesChecked += 1
        if let fault = fault(of: page, found) { result.note(fault, at: header.layout.offset(of: page)) }
    }

    /// The fault of a page whose bytes have the checksum `found`; `nil` if it is correct.
    func fault(of page: PageIndex, _ found: UInt32) -> ImageError? {
        let expected = tables.checksum(of: page)
        guard found != expected else { return nil }
        return .pageChecksum(page: page.rawValue, offset: header.layout.offset(of: page), expected: expected, found: found)
    }

    private static let zeroPageChecksum = CRC32C.of([UInt8](repeating: 0, count: GuestPage.size))
}

/// The pages that the file system has stored, in pieces to be read, and the holes between them.
private struct StoredPages {
    private let image: GuestImage
    private var position = PageIndex(0)
    /// Pages before this one are stored.
    private var storedEnd = PageIndex(0)

    /// The number of pages of a hole that are checked in one go.
    private static let holePages = 1 << 16

    init(_ image: GuestImage) { self.image = image }

    /// The next piece. The holes before it are passed to `hole`.
    mutating func next(hole: (PageRun) -> Void) throws(ImageError) -> PageRun? {
        if position >= storedEnd { try findStored(hole) }
        guard position < storedEnd else { return nil }
        let count = min(FileReads.piecePages, storedEnd.rawValue - position.rawValue)
        defer { position = position + count }
        return PageRun(first: position, count: count)
    }

    private mutating func findStored(_ hole: (PageRun) -> Void) throws(ImageError) {
        let layout = image.header.layout
        let start = layout.offset(of: position)
        let extent = try ImageError.reading { () throws(SystemError) in try image.file.dataExtent(from: UInt64(start)) }
        func page(_ offset: UInt64, roundingUp: Bool) -> Int {
            let bytes = max(Int(offset) - ImageLayout.memoryOffset, 0) + (roundingUp ? GuestPage.size - 1 : 0)
            return min(bytes >> GuestPage.shift, layout.pageCount)
        }
        let first = max(extent.map { page($0.lowerBound, roundingUp: false) } ?? layout.pageCount, position.rawValue)
        while position.rawValue < first {
            let run = PageRun(first: position, count: min(Self.holePages, first - position.rawValue))
            hole(run)
            position = run.end
        }
        if let extent { storedEnd = PageIndex(max(page(extent.upperBound, roundingUp: true), first)) }
    }
}
