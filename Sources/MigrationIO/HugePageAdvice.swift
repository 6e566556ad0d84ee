import GuestMemory
import Host

/// Populates ahead of arriving bytes: 2 MiB blocks that arrive whole as huge pages, longer runs by one call, single pages not at all
/// (the fault on arrival costs the same as the call).
struct HugePageAdvice {
    /// Each stretch of advised memory is a mapping of its own for the kernel, which allows 65530.
    private static let maximumStretches = 8192
    private static let pagesPerBlock = (2 << 20) / GuestPage.size
    /// Below this, populating by a call costs as much as faulting.
    private static let worthwhilePages = 8

    private var stretches = 0
    private var advisedUpTo = PageIndex(0)

    mutating func populate(_ run: PageRun, of memory: GuestRAM) throws(SystemError) {
        let firstBlock = (run.first.rawValue + Self.pagesPerBlock - 1) / Self.pagesPerBlock * Self.pagesPerBlock
        let endBlock = run.end.rawValue / Self.pagesPerBlock * Self.pagesPerBlock
        if firstBlock < endBlock {
            let blocks = PageRun(first: PageIndex(firstBlock), count: endBlock - firstBlock)
            // Continuing where the last advice ended makes no new stretch.
            if blocks.first != advisedUpTo { stretches += 1 }
            if stretches <= Self.maximumStretches {
                memory.adviseHugePages(blocks)
                advisedUpTo = blocks.end
            }
        }
        if run.count >= Self.worthwhilePages { try memory.populate(run) }
    }
}
