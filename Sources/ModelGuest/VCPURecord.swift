import AerostatGuestMemory

/// Everything that a vCPU's loop keeps from one safe point to the next: 128 bytes of guest RAM, written only by this vCPU.
package struct VCPURecord: BitwiseCopyable {
    /// The state of the random number generator.
    var random: UInt64
    /// A time on the guest's clock, in nanoseconds.
    var nextTick: UInt64 = 0
    /// How many steps were made: the heartbeat.
    package var steps: UInt64 = 0
    /// Blocks that were filled at boot, or imported, and stay allocated.
    package var resident = FrameList()
    /// How many pages were stamped, ever, plus the opaque pages that came. Over all vCPUs this is the sum of all frames' writes, so a lost
    /// page of frame records does not add up.
    package var stampedPages: UInt64 = 0
    /// How far the resident blocks are rewritten: the block (0 = begin with the first), the page in it, and the pages since the first.
    var cursorBlock: UInt32 = 0
    var cursorPage: UInt32 = 0
    var passPages: UInt64 = 0
    /// Blocks that churn allocated, oldest first.
    package var churn = FrameList()
    /// How many pages churn wants to hold at the moment.
    var churnTarget: UInt64 = 0
    /// The allocated block that churn is stamping (0 = none; it is on no list yet), and the page in it.
    var fillingBlock: UInt32 = 0
    var fillingPage: UInt32 = 0
}

extension Kernel {
    package func loadVCPU(_ vcpu: Int) -> VCPURecord { memory.load(at: layout.vcpuOffset(of: vcpu)) }

    package func storeVCPU(_ record: VCPURecord, _ vcpu: Int) { memory.store(record, at: layout.vcpuOffset(of: vcpu)) }
}
