import CLinux

/// The ring in which KVM records the pages that one vCPU wrote (KVM_CAP_DIRTY_LOG_RING).
///
/// The kernel fills entries and sets their flag. The harvester takes them in order and flags them as taken. KVM_RESET_DIRTY_RINGS
/// write-protects those pages again and gives the entries back to the kernel.
// @unchecked: there is only one harvester at a time (`DirtyRings` holds a lock), and the flag that both sides access is atomic.
@safe final class DirtyRing: @unchecked Sendable {
    private let mapping: SharedMapping
    private let entries: UnsafeMutablePointer<kvm_dirty_gfn>
    private let count: Int
    private var next = 0

    init(_ vcpu: borrowing KVMDescriptor, entries count: Int) throws(KVMError) {
        mapping = try SharedMapping(
            vcpu,
            byteCount: count * MemoryLayout<kvm_dirty_gfn>.size,
            page: aerostat_kvm_dirty_log_page
        )
        unsafe entries = mapping.base.assumingMemoryBound(to: kvm_dirty_gfn.self)
        self.count = count
    }

    /// Takes all entries that are filled now, at most as many as the ring has.
    /// - Returns: how many were taken.
    func take(_ found: (_ slot: Int, _ page: UInt64) -> Void) -> Int {
        var (slot, offset): (UInt32, UInt64) = (0, 0)
        for taken in 0..<count {
            guard unsafe aerostat_kvm_take_dirty_page(entries + next, &slot, &offset) != 0 else { return taken }
            found(Int(slot), offset)
            next = (next + 1) % count
        }
        return count
    }
}
