import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import Synchronization

/// The model kernel. The code has no state of its own: all state is in guest RAM, so the kernel moves with the RAM.
///
/// One lock guards the kernel's state. It is a host mutex, because a host thread that waits for it must sleep. No thread holds it at a safe
/// point, so it is free while the guest is paused, and no state of it needs to move.
package final class Kernel: Sendable {
    package let memory: KernelMemory
    let parameters: KernelParameters
    private let lock = Mutex<Void>(())
    private let panic = Mutex<KernelPanic?>(nil)
    /// Wakes the worker thread; `nil` while nothing runs the kernel.
    private let workerBell = Mutex<Doorbell?>(nil)

    var layout: KernelLayout { memory.layout }

    /// A kernel on RAM that already holds one.
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

    /// Why the kernel halted; `nil` if it has not.
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

    /// How many pages of tables were ever initialised. The rest of the tables is only address space.
    func tablePages(_ state: AllocatorState) -> UInt64 {
        let page = UInt64(GuestPage.size)
        let bitmap = UInt64(layout.stackOffset - layout.bitmapOffset) / page
        let held = (min(state.heldHighWater, UInt64(layout.blockCount)) * 4 + page - 1) / page
        let described = min(state.describedBlocks, UInt64(layout.blockCount))
        return UInt64(KernelLayout.fixedPages) + bitmap + held + described * UInt64(KernelLayout.recordPagesPerBlock)
    }

    /// How many pages are on the free lists, virgin, held, or being reported.
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
