public import AerostatGuestMemory
import AerostatHost

/// A guest that runs on the memory of a real machine, with a summary of what that memory held.
///
/// Frames that Linux had free are free, in the same blocks, with their stale content. All others are in use and opaque: the guest keeps
/// them, compares their checksums, and rewrites some of them if its workload says so.
public struct ImportedGuest: Sendable {
    public let guest: ModelGuest
    public let summary: MachineDump.Summary

    /// Copies the machine's memory, in one pass over both files.
    /// - Parameter tracker: forces a tracker; `nil` uses the best that works.
    /// - Throws: `ModelGuestConfiguration.Invalid`, or `SystemError` with the path and the place in the file.
    public init(_ dump: borrowing MachineDump, behaviour: GuestBehaviour = GuestBehaviour(), tracker: TrackerKind? = nil) throws {
        try behaviour.validate()
        guest = try ModelGuest(shell: dump.regions, tracker: tracker)
        let memory = KernelMemory(guest.memory)
        var idle = behaviour
        idle.workload = .idle
        memory.store(BootHeader(idle, pageCount: memory.layout.pageCount, freePages: 0), at: 0)
        summary = try MachineImport(dump, into: Kernel(running: memory)).summary
        // Only now is it known how much memory is free.
        try Kernel.setWorkload(behaviour.workload, in: memory)
        try guest.start(Kernel(running: memory))
    }
}

/// Copies a machine's blocks into fresh, all-zero RAM.
private struct MachineImport {
    let kernel: Kernel
    var summary = MachineDump.Summary()
    /// How many blocks the vCPUs have got so far, each in turn.
    private var adoptedBlocks = 0

    private var layout: KernelLayout { kernel.layout }

    init(_ dump: borrowing MachineDump, into kernel: Kernel) throws {
        self.kernel = kernel
        kernel.initialiseTables()
        let base = Int(dump.base.rawValue >> UInt64(GuestPage.shift))
        // If the tables end on the boundary, nothing is left behind them.
        if layout.firstFrame < base { try kernel.freeBehindTables() }
        var reader = DumpReader()
        for block in 0..<Int(dump.ramBytes / MachineDump.blockBytes) {
            try reader.read(block: block, of: dump)
            summary.count(reader)
            try takeOver(base >> KernelLayout.topOrder + block, reader)
        }
    }

    private mutating func takeOver(_ block: Int, _ source: borrowing DumpReader) throws(KernelPanic) {
        if block != layout.firstBlock {
            // Treated as never touched: it needs no records.
            if source.isFreeAndZero { return }
            kernel.allocator.virginBlocks &-= 1
        }
        kernel.setClaimed(block, true)
        let start = kernel.describe(block: block)
        var records = [FrameRecord](repeating: FrameRecord(), count: KernelLayout.topBlockPages)
        for frame in records.indices {
            if !source.isFree[frame] { records[frame].setOpaque(checksum: source.checksums[frame]) }
            if !source.isZero[frame] { source.write(frame, to: start + frame, kernel.memory) }
        }
        kernel.memory.updateRecords(start..<start + records.count) { frame, record in record = records[frame - start] }
        try divide(start, order: KernelLayout.topOrder, source.isFree[...])
    }

    /// Divides a block into the largest free and allocated blocks possible.
    private mutating func divide(_ frame: Int, order: Int, _ isFree: ArraySlice<Bool>) throws(KernelPanic) {
        let first = isFree.first!
        guard isFree.allSatisfy({ $0 == first }) else {
            let middle = isFree.startIndex + isFree.count / 2
            try divide(frame, order: order - 1, isFree[..<middle])
            return try divide(frame + 1 << (order - 1), order: order - 1, isFree[middle...])
        }
        if first { try kernel.insertFree(frame, order: order) } else { try adopt(frame, order: order) }
    }

    /// Makes a block of opaque pages resident.
    private mutating func adopt(_ frame: Int, order: Int) throws(KernelPanic) {
        var head = kernel.memory.record(of: frame)
        head.setHead(.allocated, order: order)
        kernel.memory.setRecord(head, of: frame)
        kernel.allocator.allocatedPages &+= 1 << UInt64(order)
        let vcpu = adoptedBlocks % kernel.parameters.vcpus
        var owner = kernel.loadVCPU(vcpu)
        try kernel.memory.append(frame, order: order, to: &owner.resident)
        // The arrival of an opaque page counts as its first write.
        owner.stampedPages &+= 1 << UInt64(order)
        kernel.storeVCPU(owner, vcpu)
        adoptedBlocks += 1
    }
}

extension DumpReader {
    fileprivate var isFreeAndZero: Bool { !isFree.contains(false) && !isZero.contains(false) }
}

extension MachineDump.Summary {
    fileprivate mutating func count(_ block: borrowing DumpReader) {
        frames += block.isFree.count
        if !block.isFree.contains(false) { freeTopOrder += block.isFree.count }
        for frame in block.isFree.indices {
            if block.isFree[frame] { free += 1 }
            if block.isZero[frame] { zero += 1 }
            if !block.isInFile[frame] { holes += 1 }
            if !block.isFree[frame] && !block.isZero[frame] { usedData += 1 }
        }
    }
}
