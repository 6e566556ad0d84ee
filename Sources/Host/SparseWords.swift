/// An array of 32-bit words, zero at first, that costs memory only where it was written: 4 bytes for each page of a large guest, say.
@safe public struct SparseWords: ~Copyable {
    public let count: Int
    private let storage: Mapping
    private let words: UnsafeMutablePointer<UInt32>

    /// The unit in which the words are provided by the kernel, and copied.
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

    /// Pages of words; the last may have words behind the array, which are zero.
    public var pageCount: Int { storage.byteCount / Self.pageBytes }

    /// A word; 0 where nothing was stored.
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
    /// - Parameter source: at least `pageBytes`; what belongs to words behind the array is ignored.
    package mutating func loadPage(_ page: Int, from source: UnsafeRawBufferPointer) {
        precondition(page >= 0 && page < pageCount && source.count >= Self.pageBytes, "a page of words that is not there")
        let first = page * Self.wordsPerPage
        let bytes = min(Self.wordsPerPage, count - first) * 4
        unsafe UnsafeMutableRawPointer(words + first).copyMemory(from: source.baseAddress!, byteCount: bytes)
    }
}
