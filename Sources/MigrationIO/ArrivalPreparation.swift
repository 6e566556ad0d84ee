package import AerostatGuestMemory
package import AerostatHost
import Glibc

/// Prepares memory for bytes that are about to arrive. Whole 2 MiB blocks become huge pages. Of the rest, longer runs are populated by one
/// call, and single pages are left alone (the fault on arrival costs as much as the call).
///
/// The fault on arrival allocates the huge pages, because the memory that the kernel has just cleared is then still in the processor's
/// cache. If the host gives no huge pages (by its setting, a control group or fragmented memory), the number of faults shows it, and from
/// then on blocks are populated by calls too. Used by the thread that receives the bytes.
package struct ArrivalPreparation {
    /// Each stretch of advised memory becomes a separate kernel mapping, and the kernel allows 65530.
    private static let maximumStretches = 8192
    private static let pagesPerBlock = (2 << 20) / GuestPage.size
    /// Below this, populating by a call costs as much as faulting.
    private static let worthwhilePages = 8
    /// A huge page takes one fault; a block of small pages takes 512.
    private static let mostFaultsPerBlock = 64
    /// RUSAGE_THREAD. The C library declares it for GNU sources only.
    private static let thread: __rusage_who_t = 1

    private var stretches = 0
    private var advisedUpTo = 0
    /// The number of blocks that were last left to the fault on arrival, and this thread's fault count at that time.
    private var blocksLeft = 0
    private var faultsBefore = 0
    package private(set) var areHugePagesGiven = true

    package init() {}

    package mutating func prepare(_ run: PageRun, of memory: GuestRAM) throws(SystemError) {
        let blocks = blocksToAdvise(in: run.indices)
        if !blocks.isEmpty {
            memory.adviseHugePages(PageRun(first: PageIndex(blocks.lowerBound), count: blocks.count))
            leaveToFault(blocks.count / Self.pagesPerBlock)
        }
        let left = areHugePagesGiven ? blocks : run.end.rawValue..<run.end.rawValue
        for rest in [run.first.rawValue..<left.lowerBound, left.upperBound..<run.end.rawValue] where rest.count >= Self.worthwhilePages {
            try memory.populate(PageRun(first: PageIndex(rest.lowerBound), count: rest.count))
        }
    }

    /// The whole blocks in a range of pages. Empty, at the end of the range, if there are none or no more may be advised.
    private mutating func blocksToAdvise(in pages: Range<Int>) -> Range<Int> {
        let nothing = pages.upperBound..<pages.upperBound
        let first = (pages.lowerBound + Self.pagesPerBlock - 1) / Self.pagesPerBlock * Self.pagesPerBlock
        let end = pages.upperBound / Self.pagesPerBlock * Self.pagesPerBlock
        guard first < end else { return nothing }
        // Continuing where the last advice ended makes no new stretch.
        if first != advisedUpTo { stretches += 1 }
        guard stretches <= Self.maximumStretches else { return nothing }
        advisedUpTo = end
        return first..<end
    }

    /// Checks how many faults the previous blocks took.
    private mutating func leaveToFault(_ blocks: Int) {
        guard areHugePagesGiven else { return }
        var usage = rusage()
        guard unsafe getrusage(Self.thread, &usage) == 0 else { return areHugePagesGiven = false }
        if blocksLeft > 0, usage.ru_minflt - faultsBefore > blocksLeft * Self.mostFaultsPerBlock { areHugePagesGiven = false }
        (blocksLeft, faultsBefore) = (blocks, usage.ru_minflt)
    }
}
