import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import Synchronization

/// The model kernel: code without state of its own. What it knows is in guest RAM, so it goes where the RAM goes.
///
/// The lock is the kernel's one lock. It is a host mutex, because a host thread that waits for it must sleep; no thread holds it at a
/// safe point, so a paused guest's lock is free and there is nothing in it to move.
package final class Kernel: Sendable {
    package let memory: KernelMemory
    let parameters: KernelParameters
    private let lock = Mutex<Void>(())
    private let panic = Mutex<KernelPanic?>(nil)
    /// Wakes the worker thread; `nil` while nothing runs the kernel.
    private let workerBell = Mutex<Doorbell?>(nil)

    var layout: KernelLayout { memory.layout }

    /// A kernel over RAM that holds one already.
    init(running memory: KernelMemory) throws(KernelPanic) {
        let regions = memory.ram.regions
        guard regions.byteCount >= ModelGuestConfiguration.minimumMemoryBytes,
            regions.regions[0].byteCount >= ModelGuestConfiguration.minimumFirstRegionBytes
        else { throw KernelPanic("memory of this shape is too small for the model kernel") }
        self.memory = memory
        parameters = try KernelParameters(memory.load(at: 0), pageCount: memory.layout.pageCount)
    }

    package func locked<Result>(_ body: () throws(KernelPanic) -> Result) throws(KernelPanic) -> Result {
        try lock.withLock { (_) throws(KernelPanic) in try body() }
    }

    // MARK: Panic

    /// Why the kernel halted; `nil` while it is well.
    var panicked: KernelPanic? { panic.withLock { $0 } }

    func halt(_ reason: KernelPanic) {
        panic.withLock { $0 = $0 ?? reason }
    }

    /// Gives the kernel the bell of its worker thread.
    func attach(_ bell: Doorbell) { workerBell.withLock { $0 = bell } }

    /// There is something for the worker in RAM.
    func wakeWorker() { workerBell.withLock { $0 }?.ring() }

    // MARK: Counters

    package var allocator: AllocatorState {
        get { memory.load(at: KernelLayout.allocatorOffset) }
        set { memory.store(newValue, at: KernelLayout.allocatorOffset) }
    }

    package func freeList(_ order: Int) -> FrameList { memory.load(at: layout.freeListOffset(of: order)) }

    func setFreeList(_ list: FrameList, _ order: Int) { memory.store(list, at: layout.freeListOffset(of: order)) }

    /// Pages of tables that were ever initialised; the rest of them is address space only.
    func tablePages(_ state: AllocatorState) -> UInt64 {
        let page = UInt64(GuestPage.size)
        let bitmap = UInt64(layout.stackOffset - layout.bitmapOffset) / page
        let held = (min(state.heldHighWater, UInt64(layout.blockCount)) * 4 + page - 1) / page
        let described = min(state.describedBlocks, UInt64(layout.blockCount))
        return UInt64(KernelLayout.fixedPages) + bitmap + held + described * UInt64(KernelLayout.recordPagesPerBlock)
    }

    /// Pages on the free lists, virgin, held, or being reported.
    func freePages(_ state: AllocatorState) -> UInt64 {
        (0..<KernelLayout.topOrder).reduce(topOrderPages(state) &+ balloonLists.isolated.pages) { $0 &+ freeList($1).pages }
    }

    func topOrderPages(_ state: AllocatorState) -> UInt64 {
        freeList(KernelLayout.topOrder).pages
            &+ (state.virginBlocks &+ state.heldBlocks) &* UInt64(KernelLayout.topBlockPages)
    }

    func memoryUse() throws(KernelPanic) -> MemoryUse {
        try locked { () throws(KernelPanic) in
            let state = allocator
            let page = UInt64(GuestPage.size)
            return MemoryUse(
                usedBytes: (state.allocatedPages &+ tablePages(state)) &* page,
                freeBytes: freePages(state) &* page,
                freeTopOrderBytes: topOrderPages(state) &* page
            )
        }
    }
}
