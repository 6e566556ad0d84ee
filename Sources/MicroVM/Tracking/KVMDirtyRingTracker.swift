package import AerostatGuestMemory
package import AerostatHost
import CLinux

/// All vCPUs' rings of written pages, and what was taken from them and not yet asked for.
final class DirtyRings: Sendable {
    private let machine: VirtualMachine
    private let found: Monitor<PageSet>

    init(_ machine: VirtualMachine) throws(SystemError) {
        self.machine = machine
        found = Monitor(try PageSet(pageCount: machine.memory.pageCount))
    }

    /// Empties the rings, and has KVM protect the pages that were in them. Called by the harvest, and by a vCPU whose ring is full.
    ///
    /// A page is marked before it is protected, and both happen before the lock is left: a write after the mark is read with the page, or
    /// is the first after the protection, and in a ring again.
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

    /// On a vCPU's thread that cannot go on before.
    func serveFullRing() {
        do throws(KVMError) { try empty() } catch { preconditionFailure("rings of our own: \(error)") }
    }

    /// Moves what was found to a bitmap; forgets it where there is none.
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
/// Its cost grows with what was written, not with the size of the guest. Processors with a page-modification log of their own tell KVM
/// of pages when a vCPU leaves the guest, so each harvest has all of them leave once.
package final class KVMDirtyRingTracker: DirtyTracker {
    private let machine: VirtualMachine
    private let rings: DirtyRings
    private let kickAll: @Sendable () -> Void
    private let software: SoftwareTracker
    private let isArmed = Monitor(false)

    /// Of each ring; the most that KVM allows.
    static let entries = 65536

    /// - Parameter kickAll: has each vCPU that runs leave the guest once, and waits until they did.
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
            // With rings, switching the log on protects all pages.
            // Of several slots some may be logged where an error comes.
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
                // Nothing new comes; what is left belongs to nobody.
                try rings.empty()
            } catch {
                // Where KVM has no memory to change a slot, writes stay logged, and full rings are emptied: the guest is slower, and
                // nothing else. Arming begins anew anyway.
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
