package import AerostatGuestMemory
package import AerostatHost
import Glibc

/// Prepares memory for bytes that are about to arrive: 2 MiB blocks that arrive whole become huge pages; of the rest, longer runs are
/// populated by one call, single pages not at all (the fault on arrival costs the same as the call).
///
/// Huge pages are left to the fault on arrival: what the kernel has cleared a moment ago is still in the processor's cache when the bytes
/// come. A host that gives none (its setting, a control group, memory in pieces) shows that by the faults, and from then on blocks are
/// populated too. Used by the thread to which the bytes come.
package struct ArrivalPreparation {
    /// Each stretch of advised memory is a mapping of its own for the kernel, which allows 65530.
    private static let maximumStretches = 8192
    private static let pagesPerBlock = (2 << 20) / GuestPage.size
    /// Below this, populating by a call costs as much as faulting.
    private static let worthwhilePages = 8
    /// A huge page takes one fault, a block of small ones 512.
    private static let mostFaultsPerBlock = 64
    /// RUSAGE_THREAD; the C library shows it to GNU sources only.
    private static let thread: __rusage_who_t = 1

    private var stretches = 0
    private var advisedUpTo = 0
    /// Blocks that were left to the fault on arrival last, and this thread's faults until then.
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

    /// The whole blocks in a range of pages; empty, at its end, where there are none or no more may be advised.
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

    /// Looks at what became of the blocks before.
    private mutating func leaveToFault(_ blocks: Int) {
        guard areHugePagesGiven else { return }
        var usage = rusage()
        guard unsafe getrusage(Self.thread, &usage) == 0 else { return areHugePagesGiven = false }
        if blocksLeft > 0, usage.ru_minflt - faultsBefore > blocksLeft * Self.mostFaultsPerBlock { areHugePagesGiven = false }
        (blocksLeft, faultsBefore) = (blocks, usage.ru_minflt)
    }
}
