package import AerostatGuestMemory
package import AerostatHost
import CLinux

/// The rings of written pages of all vCPUs, and the pages taken from them that no harvest has fetched yet.
final class DirtyRings: Sendable {
    private let machine: VirtualMachine
    private let found: Monitor<PageSet>

    init(_ machine: VirtualMachine) throws(SystemError) {
        self.machine = machine
        found = Monitor(try PageSet(pageCount: machine.memory.pageCount))
    }

    /// Empties the rings, and makes KVM protect the pages that were in them. Called by the harvest, and by a vCPU whose ring is full.
    ///
    /// A page is marked before it is protected, and both happen under the lock. A write after the mark either comes before the protection,
    /// and is then read with the page; or it comes after, and is in a ring again.
    func empty() throws(KVMError) {
        try found.withLock { found throws(KVMError) in
            var taken = 0
            for vcpu in machine.vcpus {
                guard let ring = vcpu.ring else { preconditionFailure("a machine without rings") }
                taken += ring.take { slot, page in found.insert(machine.firstPage(ofSlot: slot & 0xFFFF) + Int(page)) }
            }
            guard taken > 0 else { return }
            try machine.descriptor.request(KVMRequest("KVM_RESET_DIRTY_RINGS", aerostat_kvm_reset_dirty_rings))
        }
    }

    /// Called on the thread of a vCPU that cannot continue before its ring is emptied.
    func serveFullRing() {
        do throws(KVMError) { try empty() } catch { preconditionFailure("rings of our own: \(error)") }
    }

    /// Moves the pages found so far to a bitmap. Without a bitmap it drops them.
    func move(into dirty: PageSet?) {
        found.withLock { found in
            found.forEachUsedWord { index in
                let bits = found.take(word: index)
                if bits != 0 { dirty?.insert(bits: bits, word: index) }
            }
        }
    }
}

/// KVM's log of the pages that vCPUs wrote, as a ring for each vCPU, joined with the software log as in `KVMDirtyLogTracker`.
///
/// The cost grows with what was written, not with the size of the guest. Processors with page-modification logging tell KVM about pages
/// when a vCPU leaves the guest, so each harvest makes all vCPUs leave once.
package final class KVMDirtyRingTracker: DirtyTracker {
    private let machine: VirtualMachine
    private let rings: DirtyRings
    private let kickAll: @Sendable () -> Void
    private let software: SoftwareTracker
    private let isArmed = Monitor(false)

    /// The size of each ring: the maximum that KVM allows.
    static let entries = 65536

    /// - Parameter kickAll: makes each running vCPU leave the guest once, and waits until all have.
    init(_ machine: VirtualMachine, _ rings: DirtyRings, kickAll: @escaping @Sendable () -> Void) {
        self.machine = machine
        self.rings = rings
        self.kickAll = kickAll
        software = SoftwareTracker(machine.memory)
    }

    package var name: String { TrackerKind.kvmDirtyRing.rawValue }

    package func arm() throws(SystemError) {
        disarm()
        software.arm()
        try isArmed.withLock { isArmed throws(SystemError) in
            // With rings, enabling the log protects all pages. If an error comes midway, some slots may be logged already.
            isArmed = true
            do throws(KVMError) { try machine.setLogging(true) } catch { throw error.asSystemError }
        }
    }

    package func harvest(into dirty: PageSet) throws(SystemError) {
        precondition(isArmed.withLock { $0 }, "harvest before arm")
        kickAll()
        do throws(KVMError) { try rings.empty() } catch { throw error.asSystemError }
        rings.move(into: dirty)
        software.harvest(into: dirty)
    }

    package func disarm() {
        software.disarm()
        isArmed.withLock { isArmed in
            guard isArmed else { return }
            isArmed = false
            do throws(KVMError) {
                try machine.setLogging(false)
                // No new pages come. Those left in the rings are dropped.
                try rings.empty()
            } catch {
                // If KVM has no memory to change a slot, writes stay logged, and full rings are emptied. That only makes the guest slower,
                // and arming starts afresh anyway.
            }
            rings.move(into: nil)
        }
    }
}

extension VirtualMachine.Log {
    /// The kind of log that a tracker needs.
    init(for kind: TrackerKind?, ringEntries: Int) {
        switch kind {
        case nil, .kvmDirtyLog: self = .bitmap
        case .kvmDirtyRing: self = .rings(entries: ringEntries)
        case .pagemapScan, .software: self = .none
        }
    }
}
