import AerostatGuestMemory
import AerostatVirtio

// What is remembered of the balloon, in the boot header's page. Zeros are a balloon that is empty.

/// What vCPUs and the host ask of the balloon driver. Under the kernel's lock, like the two records behind it.
package struct BalloonSignals: BitwiseCopyable {
    /// 1 while the driver reports free blocks.
    var reports: UInt32 = 0
    /// 1 where a block became free that the host has not heard of.
    var mustReport: UInt32 = 0
    /// 1 while the driver gives pages back to a guest that is out of memory.
    var deflatesOnShortage: UInt32 = 0
    /// 1 where an allocation failed since the driver looked last.
    var isShort: UInt32 = 0
    /// A `BalloonDriver.Request`.
    var request: UInt32 = 0
}

/// Blocks that are out of the allocator for the balloon's sake.
package struct BalloonLists: BitwiseCopyable {
    /// Single pages that the host has, or is about to have; newest last.
    package var pages = FrameList()
    /// Single pages that left the balloon: they are the guest's when the device has acknowledged it.
    package var leaving = FrameList()
    /// Free blocks that are being reported.
    package var isolated = FrameList()
}

/// What happened since boot.
package struct DriverCounters: BitwiseCopyable {
    package var inflatedPages: UInt64 = 0
    package var deflatedPages: UInt64 = 0
    /// Inflating found no free page ("out of puff").
    package var outOfPuff: UInt64 = 0
    package var deflatedOnShortage: UInt64 = 0
    package var movedPages: UInt64 = 0
    package var reportedBlocks: UInt64 = 0
    package var reportedPages: UInt64 = 0
    package var statistics: UInt64 = 0
    /// Allocations that had to wait for memory, and those for which the workload gave up memory of its own.
    package var stalls: UInt64 = 0
    package var kills: UInt64 = 0
    package var suspensions: UInt64 = 0
    package var rebinds: UInt64 = 0
    package var reboots: UInt64 = 0
}

/// What the balloon driver's own thread remembers.
struct BalloonRecord: BitwiseCopyable {
    /// What the device has a buffer for: one at a time, as Linux has one lock for it.
    enum Operation: UInt32 {
        case none, inflating, deflating
        /// A page is moved: the new one is inflated, then the old one deflated.
        case movingIn, movingOut
        /// A buffer with lies.
        case lying
    }

    private var operationWord: UInt32 = 0
    /// How many pages the host wants.
    var target: UInt32 = 0
    /// 1 until the target is reached that was read last. Not set by a deflation for lack of memory, so that one is not undone at once.
    var follows: UInt32 = 0
    /// The page that moves.
    var movingFrame: UInt32 = 0
    /// On the guest's clock: when inflating is tried again, the next page is moved, the driver is bothered.
    var retryAt: UInt64 = 0
    var moveAt: UInt64 = 0
    var disturbAt: UInt64 = 0
    var random: UInt64 = 0
    /// 1 while the device has the statistics buffer, or the report.
    var statisticsAreOut: UInt32 = 0
    var reportIsOut: UInt32 = 0
    /// Of reporting: when the next pass begins (0 = none is due), and how many reports it may still make.
    var reportAt: UInt64 = 0
    var reportBudget: UInt64 = 0
    /// The ring sizes of inflate, deflate, statistics and reporting.
    var ringSizes: (UInt16, UInt16, UInt16, UInt16) = (0, 0, 0, 0)
    /// The lie that is told next; 0 tells none.
    var lie: UInt32 = 0
    /// A `BalloonDriver.Request` that is being carried out.
    var request: UInt32 = 0

    var operation: Operation {
        get { Operation(rawValue: operationWord) ?? .none }
        set { operationWord = newValue.rawValue }
    }
}

extension Kernel {
    package var balloonSignals: BalloonSignals {
        get { memory.load(at: KernelLayout.balloonSignalsOffset) }
        set { memory.store(newValue, at: KernelLayout.balloonSignalsOffset) }
    }

    package var balloonLists: BalloonLists {
        get { memory.load(at: KernelLayout.balloonListsOffset) }
        set { memory.store(newValue, at: KernelLayout.balloonListsOffset) }
    }

    package var driverCounters: DriverCounters {
        get { memory.load(at: KernelLayout.driverCountersOffset) }
        set { memory.store(newValue, at: KernelLayout.driverCountersOffset) }
    }

    var balloonRecord: BalloonRecord {
        get { memory.load(at: KernelLayout.balloonDriverOffset) }
        set { memory.store(newValue, at: KernelLayout.balloonDriverOffset) }
    }
}
