import AerostatGuestMemory

/// All that a vCPU's loop remembers from one safe point to the next: 128 bytes of guest RAM, written by this vCPU only.
package struct VCPURecord: BitwiseCopyable {
    /// State of the random number generator.
    var random: UInt64
    /// On the guest's clock, in nanoseconds.
    var nextTick: UInt64 = 0
    /// Steps made: the heartbeat.
    package var steps: UInt64 = 0
    /// Blocks that were filled at boot, or imported, and stay.
    package var resident = FrameList()
    /// Pages stamped, ever, and opaque pages that came: all vCPUs' together are the sum of all frames' writes, so a lost page of frame
    /// records does not add up.
    package var stampedPages: UInt64 = 0
    /// Where the rewriting of the resident blocks stands: the block (0 = begin with the first), the page in it, pages since the first.
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
