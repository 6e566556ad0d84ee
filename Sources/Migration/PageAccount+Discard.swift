package import AerostatGuestMemory

// Guest memory may be given back to the host during a migration (rule "discard is heard").
//
// A discarded page P becomes zero without a write, so no tracker reports it. What must be sent depends on what the destination may hold of
// P. If it holds nothing (P was never sent, or was last sent as zero or free), nothing need be sent. If it may hold data, P becomes pending
// and is sent as zero.
//
//      device                 guest                 this account
//      willDiscard(P)                               forgets that P is pending, where the destination has nothing of it
//      the content is zero
//                             may write P at any time; its write is in the tracker's log
//      didDiscard(P)                                P is pending where the destination may have something
//      acknowledges
//
// Forgetting must come first. A harvest between the two calls may make P pending for a new write of the guest. If the account forgot P
// after the content has changed, it would lose that write. Deciding must come last. Between the calls the sender may take P and send
// its old content. If the account decided before, the destination would keep that content.
//
// P is marked as carried when it is taken, before the sender reads it. So P counts as carried whether the discard comes before the read,
// between the read and the last byte on the link, or later. Then P is pending again after the discard. If a harvest was made before the
// discard and is merged after it, P travels once more than needed, and nothing is lost. A free page stays free: the destination is told so,
// and has zero too. Whatever the guest writes to P later is in the tracker's log.
//
// The sender must not *read* P, because reading would allocate it again. It asks the kernel whether a discarded page exists, and if
// not, sends zero. It asks after P was taken, so the answer is as good as a read: any later write is in the log.
extension PageAccount {
    /// A run is about to be given back. Pending pages of it that the destination has nothing of need not be sent.
    package mutating func willDiscard(_ run: PageRun) {
        var forgotten = 0
        for word in run.words {
            let bits = run.bits(inWord: word)
            sets.discarded.insert(bits: bits, word: word)
            let unsent = bits & ~sets.carried.load(word: word) & sets.pending.load(word: word)
            guard unsent != 0 else { continue }
            sets.pending.remove(bits: unsent, word: word)
            forgotten += unsent.nonzeroBitCount
        }
        counts.pending -= forgotten
        counts.discardedUnsent += forgotten
    }

    /// A run was given back and is zero. Pages become pending if the destination may hold other data of them.
    package mutating func didDiscard(_ run: PageRun) {
        var added = 0
        for word in run.words {
            let bits = run.bits(inWord: word)
            // Insert again: a migration that began between the two calls did not get the first one.
            sets.discarded.insert(bits: bits, word: word)
            added += addPending(bits & sets.carried.load(word: word) & ~sets.free.load(word: word), word: word)
        }
        counts.discarded += run.count
        counts.discardedAfterSent += added
    }

    /// A run was not given back after all. All its pages that are not free become pending, because nobody remembers which ones were.
    package mutating func failedToDiscard(_ run: PageRun) {
        for word in run.words {
            let bits = run.bits(inWord: word)
            _ = addPending(bits & ~sets.free.load(word: word), word: word)
            sets.discarded.remove(bits: bits, word: word)
        }
    }
}

extension PageRun {
    /// The bits of the run's pages within one word of a set.
    fileprivate func bits(inWord word: Int) -> UInt64 {
        let first = max(first.rawValue - word << 6, 0)
        let end = min(end.rawValue - word << 6, 64)
        let upTo: UInt64 = end == 64 ? ~0 : (1 << UInt64(end)) - 1
        return upTo & (~0 << UInt64(first))
    }
}
