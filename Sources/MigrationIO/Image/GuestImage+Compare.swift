import AerostatGuestMemory
import AerostatHost
public import AerostatMigration
import Glibc

/// How two images differ.
public struct ImageDifference: Hashable, Sendable, Codable {
    /// Whether both guests have the same memory regions. If not, no page was compared.
    public fileprivate(set) var isSameShape = true
    public fileprivate(set) var pagesCompared = 0
    /// Pages that are free in one of the two, so that their content is undefined. They are left out.
    public fileprivate(set) var pagesFree = 0
    public fileprivate(set) var differences = 0
    /// The first page that differs.
    public fileprivate(set) var firstDifference: Int?
    /// Names of the device sections that differ. They do not count as a difference of memory: a guest's clock, for example, runs on.
    public fileprivate(set) var differingSections: [String] = []

    /// Whether both memories have the same shape and the same content.
    public var isSameMemory: Bool { isSameShape && differences == 0 }

    enum CodingKeys: String, CodingKey {
        case isSameShape = "same-regions"
        case pagesCompared = "pages-compared"
        case pagesFree = "pages-free"
        case differences
        case firstDifference = "first-difference"
        case differingSections = "differing-sections"
    }

    fileprivate mutating func note(differing page: Int) {
        differences += 1
        firstDifference = firstDifference ?? page
    }
}

extension GuestImage {
    /// Compares two images page by page. Pages without data read as zero.
    public func compare(with other: GuestImage) throws(ImageError) -> ImageDifference {
        var result = ImageDifference()
        result.differingSections = differingSections(other)
        guard header.regions == other.header.regions else {
            result.isSameShape = false
            return result
        }
        var (here, there) = (PageBuffer(), PageBuffer())
        for word in 0..<tables.data.wordCount {
            let free = tables.free.load(word: word) | other.tables.free.load(word: word)
            result.pagesFree += free.nonzeroBitCount
            var bits = (tables.data.load(word: word) | other.tables.data.load(word: word)) & ~free
            while bits != 0 {
                let first = bits.trailingZeroBitCount
                let count = min((~(bits >> UInt64(first))).trailingZeroBitCount, 64 - first)
                let run = PageRun(first: PageIndex(word << 6 + first), count: count)
                bits &= first + count == 64 ? 0 : ~0 << UInt64(first + count)
                try here.read(run, of: self)
                try there.read(run, of: other)
                for index in 0..<count where !here.isEqual(to: there, page: index) { result.note(differing: run.first.rawValue + index) }
            }
        }
        result.pagesCompared = header.regions.pageCount - result.pagesFree
        return result
    }

    private func differingSections(_ other: GuestImage) -> [String] {
        let names = (deviceSections + other.deviceSections).map(\.name)
        func sections(_ image: GuestImage, _ name: String) -> [DeviceSection] { image.deviceSections.filter { $0.name == name } }
        return Set(names).filter { sections(self, $0) != sections(other, $0) }.sorted()
    }
}

/// Some pages as a guest would see them.
private struct PageBuffer {
    private var bytes = [UInt8](repeating: 0, count: 64 << GuestPage.shift)

    /// - Parameter run: at most 64 pages.
    mutating func read(_ run: PageRun, of image: GuestImage) throws(ImageError) {
        let data = image.tables.data
        if data.count(in: run) > 0 {
            let offset = UInt64(image.header.layout.offset(of: run.first))
            do throws(SystemError) { try image.file.read(at: offset, into: &bytes, 0..<run.byteCount) } catch { throw ImageError(error) }
        }
        for index in 0..<run.count where !data.contains(run.first + index) {
            unsafe bytes.withUnsafeMutableBytes { unsafe _ = memset($0.baseAddress! + index << GuestPage.shift, 0, GuestPage.size) }
        }
    }

    func isEqual(to other: PageBuffer, page index: Int) -> Bool {
        unsafe bytes.withUnsafeBytes { here in
            unsafe other.bytes.withUnsafeBytes { there in
                let offset = index << GuestPage.shift
                return unsafe memcmp(here.baseAddress! + offset, there.baseAddress! + offset, GuestPage.size) == 0
            }
        }
    }
}
