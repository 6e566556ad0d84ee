import GuestMemory
import Host
import SystemPackage

/// Prepares memory for bytes that are about to arrive: 2 MiB blocks that arrive whole become huge pages; of the rest, longer runs are populated
/// by one call, single pages not at all (the fault on arrival costs the same as the call).
///
/// Huge pages are left to the fault on arrival: what the kernel has cleared a moment ago is still in the processor's cache when the bytes come.
struct HugePageAdvice {
    /// Each stretch of advised memory is a mapping of its own for the kernel, which allows 65530.
    private static let maximumStretches = 8192
    private static let pagesPerBlock = (2 << 20) / GuestPage.size
    /// Below this, populating by a call costs as much as faulting.
    private static let worthwhilePages = 8
    /// Whether the kernel gives huge pages to who asks for them.
    private static let areGiven: Bool = {
        do {
            let setting = try unsafe FileDescriptor.open("/sys/kernel/mm/transparent_hugepage/enabled", .readOnly)
            return try setting.closeAfter {
                var text = [UInt8](repeating: 0, count: 64)
                let count = try unsafe text.withUnsafeMutableBytes { try unsafe setting.read(into: $0) }
                return !String(decoding: text[..<count], as: UTF8.self).contains("[never]")
            }
        } catch {
            return false
        }
    }()

    private var stretches = 0
    private var advisedUpTo = 0

    mutating func prepare(_ run: PageRun, of memory: GuestRAM) throws(SystemError) {
        let blocks = blocksToAdvise(in: run.indices)
        if !blocks.isEmpty { memory.adviseHugePages(PageRun(first: PageIndex(blocks.lowerBound), count: blocks.count)) }
        let rests = [run.first.rawValue..<blocks.lowerBound, blocks.upperBound..<run.end.rawValue]
        for rest in rests where rest.count >= Self.worthwhilePages {
            try memory.populate(PageRun(first: PageIndex(rest.lowerBound), count: rest.count))
        }
    }

    /// The whole blocks in a range of pages; empty, at its end, where there are none or no more may be advised.
    private mutating func blocksToAdvise(in pages: Range<Int>) -> Range<Int> {
        let nothing = pages.upperBound..<pages.upperBound
        let first = (pages.lowerBound + Self.pagesPerBlock - 1) / Self.pagesPerBlock * Self.pagesPerBlock
        let end = pages.upperBound / Self.pagesPerBlock * Self.pagesPerBlock
        guard first < end, Self.areGiven else { return nothing }
        // Continuing where the last advice ended makes no new stretch.
        if first != advisedUpTo { stretches += 1 }
        guard stretches <= Self.maximumStretches else { return nothing }
        advisedUpTo = end
        return first..<end
    }
}
