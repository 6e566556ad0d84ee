public import AerostatHost
import CLinux
import Glibc
import SystemPackage

/// What happened to the pages of a run that was given back. All of them that are present read as zero.
public struct DiscardOutcome: Hashable, Sendable {
    /// Pages that the host got back. They cost nothing until they are touched again.
    public var givenBack = 0
    /// Pages that were filled with zeros and stay with the guest: parts of huge pages, and files that do not support holes.
    public var cleared = 0
    /// Pages of absent memory. Nothing was done there.
    public var absent = 0

    public init() {}

    static func += (left: inout Self, right: Self) {
        left.givenBack += right.givenBack
        left.cleared += right.cleared
        left.absent += right.absent
    }
}

// Giving memory back to the host.
extension GuestRAM {
    /// Gives pages back to the host, whatever backs them. They read as zero until somebody writes to them.
    ///
    /// | backing | what is done |
    /// |---|---|
    /// | private anonymous | `MADV_DONTNEED` |
    /// | an image | anonymous memory replaces it: `MADV_DONTNEED` would bring the image's content back |
    /// | shared anonymous | `MADV_REMOVE` |
    /// | memory file | a hole is punched in the file, and every mapping sees it |
    /// | memory file of huge pages | a hole is punched for whole huge pages; parts of huge pages are filled with zeros |
    ///
    /// No tracker sees this change of content, so subscribers are told before and after it (`DiscardSubscriber`).
    /// - Throws: an error if the kernel refuses (locked memory, a sealed file). Each page is then as it was, or zero.
    @discardableResult
    public func discard(_ run: PageRun) throws(SystemError) -> DiscardOutcome {
        var found: Result<DiscardOutcome, SystemError>?
        discard([run]) { found = $1 }
        return try found!.get()
    }

    /// The same for several runs, with fewer calls of the kernel if it can do that. If it refuses one run, the others are still given back.
    /// - Parameter result: called for each run, in order, after all of them were tried.
    package func discard(_ runs: [PageRun], result: (PageRun, Result<DiscardOutcome, SystemError>) -> Void) {
        precondition(runs.allSatisfy { $0.end.rawValue <= pageCount }, "run outside guest memory")
        for subscriber in subscribers.current { for run in runs { subscriber.willDiscard(run) } }
        var results: [Result<DiscardOutcome, SystemError>?] = Array(repeating: nil, count: runs.count)
        pieces.read { pieces in
            var simple: [(index: Int, piece: MemoryPiece)] = []
            for (index, run) in runs.enumerated() {
                if let piece = pieces.piece(containing: run), piece.kind == .privateMemory, image == nil || !piece.isInPlace {
                    simple.append((index, piece.part(run)))
                } else {
                    results[index] = Result { () throws(SystemError) in
                        var outcome = DiscardOutcome()
                        for part in pieces.parts(within: run) { outcome += try discard(part) }
                        return outcome
                    }
                }
            }
            let done = adviseAll(simple.map(\.piece))
            for (position, entry) in simple.enumerated() {
                results[entry.index] = Result { () throws(SystemError) in
                    if position >= done { try advise(entry.piece, MADV_DONTNEED) }
                    var outcome = DiscardOutcome()
                    outcome.givenBack = entry.piece.pages.count
                    return outcome
                }
            }
        }
        // Fetch the list again: a migration may have begun in the middle of this discard.
        let current = subscribers.current
        for (run, found) in zip(runs, results) {
            switch found! {
            case .success(var outcome):
                outcome.absent = run.count - outcome.givenBack - outcome.cleared
                for subscriber in current { subscriber.didDiscard(run) }
                result(run, .success(outcome))
            case .failure(let error):
                for subscriber in current { subscriber.failedToDiscard(run) }
                result(run, .failure(error))
            }
        }
    }

    /// Gives private pieces back in one call.
    /// - Returns: how many were given back, from the first on. `advise` does the others, and says what is wrong with them.
    private func adviseAll(_ pieces: [MemoryPiece]) -> Int {
        // For a single piece this gains nothing. The kernel takes at most 1024 (UIO_MAXIOV).
        guard pieces.count > 1 else { return 0 }
        let ranges = unsafe pieces.prefix(1024).map { unsafe iovec(iov_base: $0.host, iov_len: $0.pages.byteCount) }
        var left = unsafe aerostat_madvise_all(ranges, ranges.count, MADV_DONTNEED)
        var done = 0
        while done < pieces.count, left >= pieces[done].pages.byteCount {
            left -= pieces[done].pages.byteCount
            done += 1
        }
        return done
    }

    /// Tells a subscriber about discards from now on, until the result is cancelled or released.
    public func subscribe(_ subscriber: any DiscardSubscriber) -> DiscardSubscription { subscribers.add(subscriber) }

    /// The kernel's part of a discard, for pages with one backing.
    func discard(_ piece: MemoryPiece) throws(SystemError) -> DiscardOutcome {
        var outcome = DiscardOutcome()
        switch piece.kind {
        case .privateMemory:
            guard piece.isInPlace else {
                try advise(piece, MADV_DONTNEED)
                break
            }
            try forEachPart(of: piece.pages) { part, isFromImage throws(SystemError) in
                isFromImage ? try discardFromImage(part) : try advise(piece.part(part), MADV_DONTNEED)
            }
        case .sharedAnonymous: try advise(piece, MADV_REMOVE)
        case .file:
            // This removes the pages from every page table too.
            do throws(SystemError) { try piece.file!.punchHole(piece.filePart) } catch {
                guard error.code == .notSupported || error.code == .notSupportedOnSocket else { throw error }
                clear(piece)
                outcome.cleared = piece.pages.count
                return outcome
            }
        case .hugeFile: return try discardHuge(piece)
        }
        outcome.givenBack = piece.pages.count
        return outcome
    }

    private func advise(_ piece: MemoryPiece, _ advice: Int32) throws(SystemError) {
        try retryingInterrupts("give guest memory back", place: "\(piece.pages)") {
            unsafe madvise(piece.host, piece.pages.byteCount, advice)
        }
    }

    /// Gives whole huge pages back. Fills parts of huge pages with zeros if those exist.
    private func discardHuge(_ piece: MemoryPiece) throws(SystemError) -> DiscardOutcome {
        var outcome = DiscardOutcome()
        let unit = piece.unitPages
        // Huge pages begin at `start` and at every `unit` pages after it, because file and address have the same alignment.
        let inside = Int(piece.fileOffset >> UInt64(GuestPage.shift)) % unit
        let start = piece.pages.first.rawValue - inside
        let (first, end) = (piece.pages.first.rawValue, piece.pages.end.rawValue)
        let wholeFirst = min(start + (inside + unit - 1) / unit * unit, end)
        let wholeEnd = max(start + (end - start) / unit * unit, wholeFirst)
        if wholeFirst < wholeEnd {
            try piece.file!.punchHole(piece.part(PageRun(first: PageIndex(wholeFirst), count: wholeEnd - wholeFirst)).filePart)
            outcome.givenBack = wholeEnd - wholeFirst
        }
        for rest in [first..<wholeFirst, wholeEnd..<end] where !rest.isEmpty {
            let part = piece.part(PageRun(first: PageIndex(rest.lowerBound), count: rest.count))
            // Filling a page that does not exist would allocate it.
            try PageScan().forEachPresentRun(of: part) { clear(piece.part($0)) }
            outcome.cleared += rest.count
        }
        return outcome
    }

    /// The whole huge page that a page is a part of; `nil` where the page is none.
    package func hugePage(around page: PageIndex) -> PageRun? {
        pieces.read { pieces in
            guard let piece = pieces.parts(within: PageRun(first: page, count: 1)).first, piece.kind == .hugeFile else { return nil }
            let first = page.rawValue - Int(piece.fileOffset >> UInt64(GuestPage.shift)) % piece.unitPages
            guard first >= 0, first + piece.unitPages <= pageCount else { return nil }
            let run = PageRun(first: PageIndex(first), count: piece.unitPages)
            return pieces.parts(within: run).map(\.pages) == [run] ? run : nil
        }
    }

    private func clear(_ piece: MemoryPiece) {
        unsafe memset(piece.host, 0, piece.pages.byteCount)
        markWritten(piece.pages)
    }
}
