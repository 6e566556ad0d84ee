import AerostatGuestMemory
import AerostatHost

/// One memory slot's log in KVM's format: bit p % 64 of word p / 64 is the slot's page p.
// @unchecked: used under the tracker's lock.
@safe final class LogWords: @unchecked Sendable {
    private let storage: Mapping
    let base: UnsafeMutablePointer<UInt64>
    private let count: Int

    /// How many words one request clears at most: 1 GiB of guest memory. The kernel holds its lock on the guest's page tables for that
    /// long.
    static let wordsPerRequest = 4096

    init(pageCount: Int) throws(SystemError) {
        count = (pageCount + 63) / 64
        storage = try Mapping(anonymousByteCount: (count * 8 + GuestPage.size - 1) & ~(GuestPage.size - 1))
        unsafe base = storage.base.bindMemory(to: UInt64.self, capacity: count)
    }

    /// Sets all bits.
    func fill() { unsafe base.update(repeating: .max, count: count) }

    /// The next words with set bits, at most `wordsPerRequest`; `nil` if there are none from `position` on.
    func nextStretch(from position: Int, pages: Int) -> Range<Int>? {
        let end = (pages + 63) / 64
        var first = position
        while first < end, unsafe base[first] == 0 { first += 1 }
        guard first < end else { return nil }
        var last = min(first + Self.wordsPerRequest, end)
        while unsafe base[last - 1] == 0 { last -= 1 }
        return first..<last
    }

    /// Adds the pages with set bits to a bitmap of the whole guest.
    /// - Parameter firstPage: the guest's index of the slot's page 0.
    func merge(pages: Int, into dirty: PageSet, from firstPage: PageIndex) {
        let (word, shift) = (firstPage.rawValue >> 6, UInt64(firstPage.rawValue & 63))
        for index in 0..<(pages + 63) / 64 {
            let bits = unsafe base[index]
            if bits == 0 { continue }
            dirty.insert(bits: bits << shift, word: word + index)
            let carried = shift == 0 ? 0 : bits >> (64 - shift)
            if carried != 0 { dirty.insert(bits: carried, word: word + index + 1) }
        }
    }
}
