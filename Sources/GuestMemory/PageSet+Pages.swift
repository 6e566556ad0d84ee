import AerostatHost
import Synchronization

// Copies the bitmap in 4096-byte pages of words, as a guest image stores it.
extension PageSet {
    /// The number of the bitmap's words in one page. One page covers 32768 pages of the guest.
    package static let wordsPerPage = GuestPage.size / 8

    /// The number of pages that hold the bitmap. Unused words at the end of the last page are zero.
    package var wordPageCount: Int { (wordCount + Self.wordsPerPage - 1) / Self.wordsPerPage }

    private func words(ofPage page: Int) -> Range<Int> {
        precondition(page >= 0 && page < wordPageCount, "a page of words outside the bitmap")
        return page * Self.wordsPerPage..<min((page + 1) * Self.wordsPerPage, wordCount)
    }

    /// Copies a page of words out, each little-endian.
    /// - Parameter target: at least 4096 bytes.
    package func copyPage(_ page: Int, into target: UnsafeMutableRawBufferPointer) {
        precondition(target.count >= GuestPage.size, "no room for a page")
        let range = words(ofPage: page)
        for index in 0..<Self.wordsPerPage {
            let bits = index < range.count ? load(word: range.lowerBound + index) : 0
            unsafe target.storeBytes(of: bits.littleEndian, toByteOffset: index * 8, as: UInt64.self)
        }
    }

    /// Adds the bits of a page of words, which may come from a file.
    /// - Parameter source: at least 4096 bytes.
    /// - Returns: false if a bit lies past the last page of the guest; then nothing was added.
    package func insertPage(_ page: Int, from source: UnsafeRawBufferPointer) -> Bool {
        precondition(source.count >= GuestPage.size, "not a page")
        let range = words(ofPage: page)
        func bits(_ index: Int) -> UInt64 {
            unsafe UInt64(littleEndian: source.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
        }
        for index in 0..<Self.wordsPerPage {
            let word = range.lowerBound + index
            let allowed = word < wordCount - 1 ? ~0 : word == wordCount - 1 ? lastWordMask : 0
            if bits(index) & ~allowed != 0 { return false }
        }
        for word in range {
            let added = bits(word - range.lowerBound)
            if added != 0 { insert(bits: added, word: word) }
        }
        return true
    }
}
