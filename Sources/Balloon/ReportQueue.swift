import AerostatGuestMemory
import AerostatVirtio

/// Reports of free pages (specification 5.5.6.7). The driver takes blocks out of use, reports them, and puts them back when its buffer is
/// returned. Until then the blocks are the host's, and the device gives them back to it. The guest decides what it reports. If it reports
/// a block that it uses, it loses that block's content.
struct ReportQueue: BalloonQueueHandler {
    /// The index of the first unprocessed block of the chain in work.
    private var nextBlock = 0
    /// The last block's runs that are still to be done, in descending order.
    private var runs: [PageRun] = []

    mutating func serve(_ chain: DescriptorChain, isNew: Bool, _ account: inout BalloonAccount) -> ChainStep {
        if isNew {
            account.counters.reportBuffers += 1
            account.counters.wrongWaySegments += chain.readableCount
            nextBlock = chain.readableCount
            runs = []
        }
        var pages = 0
        var count = 0
        while count < BalloonAccount.runsPerStep, pages < BalloonAccount.pagesPerStep {
            count += 1
            guard let part = runs.takeLastPart() else {
                guard nextBlock < chain.segments.count else { return .finished }
                runs = account.reportedRuns(chain.segments[nextBlock]).reversed()
                nextBlock += 1
                continue
            }
            account.report(part)
            pages += part.count
        }
        return runs.isEmpty && nextBlock == chain.segments.count ? .finished : .again
    }

    mutating func stop() { self = ReportQueue() }
    mutating func reset() { self = ReportQueue() }
}

extension BalloonAccount {
    /// The pages of a reported block. A block that is not made of whole pages in RAM is refused as a whole.
    fileprivate mutating func reportedRuns(_ block: VirtqueueSegment) -> [PageRun] {
        let pages = memory.regions.wholePages(at: block.address, byteCount: UInt64(block.length))
        guard pages.droppedBytes == 0 else {
            counters.refusedReports += 1
            return []
        }
        return pages.runs.flatMap { run in
            let rest = rings.rest(of: run)
            counters.ownPages += run.count - rest.reduce(0) { $0 + $1.count }
            return rest
        }
    }
}
