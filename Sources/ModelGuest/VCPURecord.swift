import GuestMemory

/// All that a vCPU's loop remembers from one safe point to the next: 128 bytes of guest RAM, written by this vCPU only.
struct VCPURecord: BitwiseCopyable {
    /// State of the random number generator.
    var random: UInt64
    /// On the guest's clock, in nanoseconds.
    var nextTick: UInt64 = 0
    /// Steps made: the heartbeat.
    var steps: UInt64 = 0
    /// Blocks that were filled at boot and stay.
    var resident = FrameList()
    /// Where the rewriting of the resident blocks stands: the block (0 = begin with the first), the page in it, pages since the first.
    var cursorBlock: UInt64 = 0
    var cursorPage: UInt64 = 0
    var passPages: UInt64 = 0
    /// Blocks that churn allocated, oldest first.
    var churn = FrameList()
    /// How many pages churn wants to hold at the moment.
    var churnTarget: UInt64 = 0
    /// The allocated block that churn is stamping (0 = none; it is on no list yet), and the page in it.
    var fillingBlock: UInt32 = 0
    var fillingPage: UInt32 = 0
}

extension Kernel {
    func loadVCPU(_ vcpu: Int) -> VCPURecord { memory.load(at: layout.vcpuOffset(of: vcpu)) }

    func storeVCPU(_ record: VCPURecord, _ vcpu: Int) { memory.store(record, at: layout.vcpuOffset(of: vcpu)) }
}
