import AerostatGuestMemory
public import AerostatMigration
import Synchronization

/// Checks the tables and the pages of a kernel that stands still. It trusts nothing that it reads: every number is bounded before use,
/// every loop ends, and memory that was never touched stays untouched.
///
/// Each fact is in RAM twice: a free block in its record and on its list, a page in its stamp and in its content, each sum in a counter. So
/// one lost page contradicts another one.
package struct KernelCheck {
    private let kernel: Kernel
    private var result = SelfCheckResult()
    private var violations: [String] = []
    /// What the frame records say.
    private var free = [FrameList](repeating: FrameList(), count: KernelLayout.topOrder + 1)
    private var allocatedPages: UInt64 = 0
    private var describedBlocks: UInt64 = 0
    private var virginBlocks: UInt64 = 0
    private var heldRecords: UInt64 = 0
    private var ballooned: UInt64 = 0
    private var isolated = FrameList()
    private var isolatedTop: UInt64 = 0
    /// Modulo 2^32, as generations are.
    private var writes: UInt32 = 0
    /// What the held stack says.
    private var heldVirgin: Set<Int> = []
    private var heldDescribed: Set<Int> = []

    private var memory: KernelMemory { kernel.memory }
    private var layout: KernelLayout { kernel.layout }

    package static func run(_ kernel: Kernel) -> SelfCheckResult {
        var check = KernelCheck(kernel: kernel)
        if let panic = kernel.panicked { check.complain("the kernel halted: \(panic)") }
        do throws(KernelPanic) { _ = try KernelParameters(check.memory.load(at: 0), pageCount: check.layout.pageCount) } catch {
            check.complain("\(error)")
        }
        check.readHeldStack()
        for block in check.layout.firstBlock..<max(check.layout.firstBlock, check.layout.blockCount) { check.walk(block: block) }
        for order in 0...KernelLayout.topOrder { check.compareFreeList(order) }
        check.compareOwnedLists()
        check.compareBalloon()
        check.compareCounters()
        for fault in kernel.entropyFaults() { check.complain(fault) }
        return check.finished()
    }

    private init(kernel: Kernel) { self.kernel = kernel }

    private mutating func complain(_ text: String) {
        if violations.count < SelfCheckResult.Invariants.maximumListed { violations.append(text) }
    }

    // MARK: Frame records and pages

    private mutating func readHeldStack() {
        let count = kernel.allocator.heldBlocks
        if count > UInt64(layout.blockCount) {
            return complain("the held stack has \(count) entries, there are \(layout.blockCount) blocks")
        }
        for position in 0..<Int(count) {
            let held = Kernel.HeldBlock(entry: memory.load(at: layout.heldOffset(of: position)))
            guard layout.isUsable(block: held.block), kernel.isClaimed(held.block) else {
                complain("the held stack names block \(held.block), which cannot be held")
                continue
            }
            let isNew = held.isVirgin ? heldVirgin.insert(held.block).inserted : heldDescribed.insert(held.block).inserted
            if !isNew || heldVirgin.contains(held.block) && heldDescribed.contains(held.block) {
                complain("block \(held.block) is held twice")
            }
        }
    }

    private mutating func walk(block: Int) {
        guard layout.isUsable(block: block) else { return }
        guard kernel.isClaimed(block) else {
            if block == layout.firstBlock {
                complain("the block in which the tables end counts as never touched")
            } else {
                virginBlocks += 1
            }
            return
        }
        if heldVirgin.contains(block) { return }
        describedBlocks += 1
        let start = block << KernelLayout.topOrder
        let end = start + KernelLayout.topBlockPages
        var frame = start
        while frame < end {
            guard let (state, order) = memory.record(of: frame).head, frame & (1 << order - 1) == 0, frame + 1 << order <= end else {
                return complain("frame \(frame) has an impossible record")
            }
            walk(state, frame, order)
            frame += 1 << order
        }
    }

    private mutating func walk(_ state: FrameRecord.State, _ frame: Int, _ order: Int) {
        let size = 1 << order
        switch state {
        case .table:
            if frame >= layout.firstFrame { complain("frame \(frame) is recorded as a table") }
            return
        case .inside: return complain("frame \(frame) belongs to no block")
        case .free:
            free[order].blocks += 1
            free[order].pages += UInt64(size)
            if order < KernelLayout.topOrder, memory.record(of: frame ^ size).isHead(.free, order: order) {
                complain("the free buddies \(frame) and \(frame ^ size) of order \(order) are not merged")
            }
        case .held:
            heldRecords += 1
            if order != KernelLayout.topOrder || !heldDescribed.contains(frame >> KernelLayout.topOrder) {
                complain("frame \(frame) is recorded as held, but the held stack does not have it")
            }
        case .allocated: allocatedPages += UInt64(size)
        case .ballooned:
            // What it contains is nobody's business.
            ballooned += 1
            if order != 0 { complain("frame \(frame) is ballooned with order \(order)") }
        case .isolated:
            isolated.blocks += 1
            isolated.pages += UInt64(size)
            if order == KernelLayout.topOrder { isolatedTop += UInt64(size) }
            if order < Kernel.reportingOrder { complain("frame \(frame) of order \(order) is being reported") }
        }
        if state != .free, memory.record(of: frame).isReported { complain("frame \(frame) is \(state), and recorded as reported") }
        if frame < layout.firstFrame { complain("frame \(frame) holds a table, but is recorded as \(state)") }
        for page in frame..<frame + size {
            let record = memory.record(of: page)
            writes &+= record.writes
            if page > frame, !record.isHead(.inside, order: 0) { complain("frame \(page) is a head inside the block at \(frame)") }
            if page > frame, record.isReported { complain("frame \(page) is recorded as reported inside the block at \(frame)") }
            if record.isPoisoned { comparePoison(page, record, isBallooned: state == .ballooned) }
            guard record.isStamped || record.isOpaque else { continue }
            if record.isStamped && record.isOpaque { complain("frame \(page) carries a stamp and is opaque") }
            if state == .allocated { compare(page, record) } else { complain("frame \(page) is free, but its record speaks of content") }
        }
    }

    private mutating func compare(_ page: Int, _ record: FrameRecord) {
        result.pagesChecked += 1
        guard let difference = record.isOpaque ? checksumDifference(page, record) : stampDifference(page, record) else { return }
        note(difference, at: page)
    }

    /// A page that was filled when it was freed must be unchanged, whoever has it now (rule "free, never stale data").
    private mutating func comparePoison(_ page: Int, _ record: FrameRecord, isBallooned: Bool) {
        guard let poison = kernel.parameters.poison, !record.isStamped, !record.isOpaque, !isBallooned else {
            return complain("frame \(page) is recorded as poisoned, which it cannot be")
        }
        result.pagesChecked += 1
        guard let found = memory.firstWord(of: page, otherThan: poison) else { return }
        note((UInt64(poison) << 32 | UInt64(poison), found), at: page)
    }

    private mutating func note(_ difference: (expected: UInt64, found: UInt64), at page: Int) {
        result.pagesWrong += 1
        if result.firstWrongPage == nil {
            result.firstWrongPage = .init(page: page, expected: hexadecimal(difference.expected), found: hexadecimal(difference.found))
        }
    }

    private func stampDifference(_ page: Int, _ record: FrameRecord) -> (expected: UInt64, found: UInt64)? {
        memory.verify(page, generation: record.generation, seed: kernel.parameters.seed).map { ($0.expected, $0.found) }
    }

    private func checksumDifference(_ page: Int, _ record: FrameRecord) -> (expected: UInt64, found: UInt64)? {
        let found = memory.checksum(of: page)
        return found == record.generation ? nil : (UInt64(record.generation), UInt64(found))
    }

    private func hexadecimal(_ word: UInt64) -> String {
        let digits = String(word, radix: 16)
        return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
    }

    // MARK: Lists

    private mutating func compareFreeList(_ order: Int) {
        let list = kernel.freeList(order)
        compare(list, "the free list of order \(order)") { $0.isHead(.free, order: order) ? order : nil }
        if list.blocks != free[order].blocks || list.pages != free[order].pages {
            complain("the free list of order \(order) counts \(list.blocks) blocks, the frame records \(free[order].blocks)")
        }
    }

    private mutating func compareBalloon() {
        let lists = kernel.balloonLists
        for (list, name) in [(lists.pages, "the balloon"), (lists.leaving, "what leaves the balloon")] {
            compare(list, name) { $0.isHead(.ballooned, order: 0) ? 0 : nil }
        }
        compare(lists.isolated, "the blocks that are being reported") { record in
            record.head.flatMap { $0.state == .isolated ? $0.order : nil }
        }
        if lists.pages.pages &+ lists.leaving.pages != ballooned {
            complain("the balloon counts \(lists.pages.pages) pages, and \(lists.leaving.pages) leave it, there are \(ballooned)")
        }
        if lists.isolated.pages != isolated.pages || lists.isolated.blocks != isolated.blocks {
            complain("\(lists.isolated.blocks) blocks are being reported, the frame records say \(isolated.blocks)")
        }
    }

    private mutating func compareOwnedLists() {
        var owned: UInt64 = 0
        for vcpu in 0..<kernel.parameters.vcpus {
            let record = kernel.loadVCPU(vcpu)
            for (list, name) in [(record.resident, "resident"), (record.churn, "churn")] {
                compare(list, "the \(name) list of vCPU \(vcpu)") { record in
                    record.head.flatMap { $0.state == .allocated ? $0.order : nil }
                }
                owned &+= list.pages
            }
            if record.fillingBlock != 0 {
                let filling = UInt64(record.fillingBlock)
                guard filling < UInt64(layout.pageCount), layout.isUsable(frame: Int(filling)), isDescribed(Int(filling)),
                    let head = memory.record(of: Int(filling)).head, head.state == .allocated
                else {
                    complain("vCPU \(vcpu) fills frame \(filling), which is not allocated")
                    continue
                }
                owned &+= 1 << UInt64(head.order)
            }
        }
        if owned != allocatedPages { complain("\(allocatedPages) pages are allocated, \(owned) are on somebody's list") }
    }

    /// Follows a list as far as possible: forwards, comparing each link with the link back.
    private mutating func compare(_ list: FrameList, _ name: String, order: (FrameRecord) -> Int?) {
        var (previous, link) = (UInt64(0), list.first)
        var (blocks, pages) = (UInt64(0), UInt64(0))
        while link != 0 {
            guard blocks < list.blocks else { return complain("\(name) is longer than its count of \(list.blocks) blocks") }
            guard link < UInt64(layout.pageCount), layout.isUsable(frame: Int(link)), isDescribed(Int(link)) else {
                return complain("\(name) leads to frame \(link), which is not allocatable memory")
            }
            let record = memory.record(of: Int(link))
            guard let order = order(record) else { return complain("\(name) holds frame \(link), whose record says something else") }
            guard UInt64(record.previous) == previous else {
                return complain("frame \(link) on \(name) points back to \(record.previous), not to \(previous)")
            }
            blocks += 1
            pages += 1 << UInt64(order)
            (previous, link) = (link, UInt64(record.next))
        }
        if previous != list.last { complain("\(name) ends at frame \(previous), its tail is \(list.last)") }
        if blocks != list.blocks || pages != list.pages { complain("\(name) has \(blocks) blocks, its count is \(list.blocks)") }
    }

    /// Whether a frame's record is in use. Reading an unused one would only find zeros, but skipping it is easier to reason about.
    private func isDescribed(_ frame: Int) -> Bool {
        let block = frame >> KernelLayout.topOrder
        return kernel.isClaimed(block) && !heldVirgin.contains(block)
    }

    // MARK: Sums

    private mutating func compareCounters() {
        let state = kernel.allocator
        let pairs: [(String, UInt64, UInt64)] = [
            ("allocated pages", state.allocatedPages, allocatedPages),
            ("described blocks", state.describedBlocks, describedBlocks),
            ("untouched blocks", state.virginBlocks, virginBlocks),
            ("held untouched blocks", state.heldVirginBlocks, UInt64(heldVirgin.count)),
            ("held blocks in use once", state.heldBlocks &- state.heldVirginBlocks, heldRecords),
        ]
        for (name, counter, found) in pairs where counter != found {
            complain("the kernel counts \(counter) \(name), there are \(found)")
        }
        let stamped = (0..<kernel.parameters.vcpus).reduce(UInt64(0)) { $0 &+ kernel.loadVCPU($1).stampedPages }
        if UInt32(truncatingIfNeeded: stamped) != writes {
            complain("\(stamped) pages were written, but the writes that the frame records count do not add up to it")
        }
        if state.heldHighWater < state.heldBlocks { complain("the held stack is higher than it ever was") }
    }

    private func finished() -> SelfCheckResult {
        var result = result
        let state = kernel.allocator
        let topPages = UInt64(KernelLayout.topBlockPages)
        let held = (UInt64(heldVirgin.count) + heldRecords) * topPages
        let top = free[KernelLayout.topOrder].pages + virginBlocks * topPages + held
        result.pagesUsed = Int(clamping: allocatedPages + kernel.tablePages(state))
        result.pagesFree = Int(clamping: free.dropLast().reduce(top + isolated.pages) { $0 + $1.pages })
        result.pagesFreeTopOrder = Int(clamping: top + isolatedTop)
        result.pagesHeld = Int(clamping: held)
        result.pagesBallooned = Int(clamping: ballooned)
        if !violations.isEmpty { result.invariants = .violated(violations) }
        return result
    }
}

extension ModelGuest {
    /// Checks the guest's memory: every page in use against its stamp, and the kernel's tables against each other.
    ///
    /// A running guest is paused meanwhile. Memory that was never touched is not read.
    public func check() throws(GuestError) -> SelfCheckResult {
        try machine.withLock { (machine) throws(GuestError) in
            guard let kernel else { throw GuestError("the guest has no memory content to check yet") }
            if !machine.isPaused { standStill() }
            defer { if !machine.isPaused { run() } }
            return KernelCheck.run(kernel)
        }
    }
}
