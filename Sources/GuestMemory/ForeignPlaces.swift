import Synchronization

/// Where blocks lie that were adopted by address, and so are outside the guest's reservation.
///
/// Any thread may look a page up, on every access outside the first block, so a look-up takes no lock. An entry is not freed before this
/// object is, because a thread may be looking at it. There is one entry for each such block that was ever plugged.
// @unchecked: the list only grows, through an atomic head. An entry's fields never change, except for one atomic.
@safe
final class ForeignPlaces: @unchecked Sendable {
    @safe
    private struct Entry: ~Copyable {
        let pages: PageRun
        let host: UnsafeMutableRawPointer
        let owner: (any AnyObject & Sendable)?
        let next: UnsafeMutablePointer<Entry>?
        let isPlugged = Atomic(true)
    }

    /// The address of the newest entry; 0 if there is none.
    private let head = Atomic<UInt>(0)

    deinit {
        var entry = unsafe newest
        while let found = unsafe entry {
            unsafe entry = found.pointee.next
            unsafe found.deinitialize(count: 1)
            unsafe found.deallocate()
        }
    }

    var isEmpty: Bool { head.load(ordering: .relaxed) == 0 }

    private var newest: UnsafeMutablePointer<Entry>? { unsafe UnsafeMutablePointer(bitPattern: head.load(ordering: .acquiring)) }

    private func entry(where isWanted: (borrowing Entry) -> Bool) -> UnsafeMutablePointer<Entry>? {
        var entry = unsafe newest
        while let found = unsafe entry {
            if unsafe isWanted(found.pointee) { return unsafe found }
            unsafe entry = found.pointee.next
        }
        return nil
    }

    /// Adds a block. Its pages must still be absent.
    /// - Parameter owner: kept alive until this object ends.
    func insert(_ pages: PageRun, at host: UnsafeMutableRawPointer, owner: (any AnyObject & Sendable)?) {
        // The same block was plugged before, and then unplugged.
        if let old = unsafe entry(where: { unsafe $0.pages == pages && $0.host == host && $0.owner === owner }) {
            return unsafe old.pointee.isPlugged.store(true, ordering: .releasing)
        }
        let new = UnsafeMutablePointer<Entry>.allocate(capacity: 1)
        unsafe new.initialize(to: Entry(pages: pages, host: host, owner: owner, next: newest))
        head.store(UInt(bitPattern: new), ordering: .releasing)
    }

    /// Forgets pages that are already absent.
    func remove(_ pages: PageRun) {
        while let found = unsafe entry(where: {
            $0.isPlugged.load(ordering: .relaxed) && $0.pages.first < pages.end && pages.first < $0.pages.end
        }) {
            let (whole, host, owner) = unsafe (found.pointee.pages, found.pointee.host, found.pointee.owner)
            // Add the remaining parts first, because another thread may be looking for one of their pages.
            if whole.first < pages.first {
                unsafe insert(PageRun(first: whole.first, count: pages.first.rawValue - whole.first.rawValue), at: host, owner: owner)
            }
            if whole.end > pages.end {
                let bytes = (pages.end.rawValue - whole.first.rawValue) << GuestPage.shift
                unsafe insert(PageRun(first: pages.end, count: whole.end.rawValue - pages.end.rawValue), at: host + bytes, owner: owner)
            }
            unsafe found.pointee.isPlugged.store(false, ordering: .releasing)
        }
    }

    /// Where a page lies, and how many bytes follow from there in the same block.
    func place(of page: PageIndex) -> (host: UnsafeMutableRawPointer, byteCount: Int)? {
        let found = unsafe entry {
            $0.isPlugged.load(ordering: .acquiring) && $0.pages.first <= page && page < $0.pages.end
        }
        guard let found = unsafe found else { return nil }
        let (pages, host) = unsafe (found.pointee.pages, found.pointee.host)
        let inside = (page.rawValue - pages.first.rawValue) << GuestPage.shift
        return unsafe (host + inside, pages.byteCount - inside)
    }

    /// The first page, at or after the given one, that lies in a foreign block; `limit` if there is none before it.
    func firstPage(from page: PageIndex, before limit: PageIndex) -> PageIndex {
        var first = limit
        var entry = unsafe newest
        while let found = unsafe entry {
            let pages = unsafe found.pointee.pages
            if unsafe found.pointee.isPlugged.load(ordering: .acquiring), pages.end > page { first = min(first, max(page, pages.first)) }
            unsafe entry = found.pointee.next
        }
        return first
    }
}
