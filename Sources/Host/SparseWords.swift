/// An array of 32-bit words, initially zero, that takes memory only where it was written. For example, 4 bytes for each page of a large
/// guest.
@safe public struct SparseWords: ~Copyable {
    public let count: Int
    private let storage: Mapping
    private let words: UnsafeMutablePointer<UInt32>

    /// The unit in which the kernel provides the words, and in which they are copied.
    public static let pageBytes = 4096
    /// How many words lie in one page of the table.
    public static let wordsPerPage = pageBytes / 4

    /// Reserves the array.
    /// - Parameter count: words, more than zero.
    public init(count: Int) throws(SystemError) {
        precondition(count > 0, "an array has at least one word")
        self.count = count
        storage = try Mapping(anonymousByteCount: (count * 4 + Self.pageBytes - 1) & ~(Self.pageBytes - 1))
        unsafe words = storage.base.bindMemory(to: UInt32.self, capacity: storage.byteCount / 4)
    }

    /// The number of pages of words. Words of the last page that are past the array's end are zero.
    public var pageCount: Int { storage.byteCount / Self.pageBytes }

    /// A word; 0 if nothing was stored there.
    public subscript(index: Int) -> UInt32 {
        get {
            precondition(index >= 0 && index < count, "word outside the array")
            return unsafe words[index]
        }
        set {
            precondition(index >= 0 && index < count, "word outside the array")
            unsafe words[index] = newValue
        }
    }

    /// Copies a page of words out, in the host's byte order.
    /// - Parameter target: at least `pageBytes`.
    package func copyPage(_ page: Int, into target: UnsafeMutableRawBufferPointer) {
        precondition(page >= 0 && page < pageCount && target.count >= Self.pageBytes, "a page of words that is not there")
        unsafe target.baseAddress!.copyMemory(from: words + page * Self.wordsPerPage, byteCount: Self.pageBytes)
    }

    /// Replaces a page of words.
    /// - Parameter source: at least `pageBytes`. Words past the array's end are ignored.
    package mutating func loadPage(_ page: Int, from source: UnsafeRawBufferPointer) {
        precondition(page >= 0 && page < pageCount && source.count >= Self.pageBytes, "a page of words that is not there")
        let first = page * Self.wordsPerPage
        let bytes = min(Self.wordsPerPage, count - first) * 4
        unsafe UnsafeMutableRawPointer(words + first).copyMemory(from: source.baseAddress!, byteCount: bytes)
    }
}
