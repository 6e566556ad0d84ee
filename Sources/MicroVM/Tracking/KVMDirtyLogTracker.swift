package import AerostatGuestMemory
package import AerostatHost
import CLinux

/// KVM's log of the pages that vCPUs wrote, as a bitmap for each memory slot, joined with the software log. KVM does not see what this
/// process itself writes (devices, DMA, the control plane).
///
/// One request reads the log, and another one clears it and protects the pages again (manual protect). A page written in between is not
/// lost. If its bit was read as set, clearing protects the page before the harvest returns, and whoever reads its bytes afterwards reads
/// that write too. If its bit was not set, it is not among the bits to clear, and stays in the log for the next harvest.
package final class KVMDirtyLogTracker: DirtyTracker {
    private let machine: VirtualMachine
    private let software: SoftwareTracker
    private let state: Monitor<State>

    private struct State {
        var isArmed = false
        /// The log of the largest slot, as KVM copies it out; then a mask for clearing.
        let words: LogWords
    }

    init(_ machine: VirtualMachine) throws(SystemError) {
        self.machine = machine
        software = SoftwareTracker(machine.memory)
        state = Monitor(State(words: try LogWords(pageCount: machine.slots.map(\.region.pageCount).max() ?? 0)))
    }

    package var name: String { TrackerKind.kvmDirtyLog.rawValue }

    package func arm() throws(SystemError) {
        disarm()
        software.arm()
        try state.withLock { state throws(SystemError) in
            do throws(KVMError) {
                // If an error comes midway, some slots may be logged already.
                state.isArmed = true
                try machine.setLogging(true)
                // At first all bits are set and no page is protected. Clearing its bit protects a page, so all bits are cleared now (rule
                // "arm before asking"). Otherwise the first harvest would take every page for written, and undo every hint given until
                // then.
                for slot in machine.slots.indices {
                    state.words.fill()
                    try clear(slot, state.words)
                }
            } catch {
                throw error.asSystemError
            }
        }
    }

    package func harvest(into dirty: PageSet) throws(SystemError) {
        try state.withLock { state throws(SystemError) in
            precondition(state.isArmed, "harvest before arm")
            do throws(KVMError) {
                for slot in machine.slots.indices {
                    try read(slot, state.words)
                    state.words.merge(pages: pageCount(slot), into: dirty, from: machine.firstPage(ofSlot: slot))
                    try clear(slot, state.words)
                }
            } catch {
                throw error.asSystemError
            }
        }
        software.harvest(into: dirty)
    }

    package func disarm() {
        software.disarm()
        state.withLock { state in
            guard state.isArmed else { return }
            state.isArmed = false
            // If KVM has no memory to change a slot, writes stay logged. That only makes the guest slower, and arming starts afresh anyway.
            do throws(KVMError) { try machine.setLogging(false) } catch { return }
        }
    }

    // MARK: KVM's log

    private func pageCount(_ slot: Int) -> Int { machine.slots[slot].region.pageCount }

    private func read(_ slot: Int, _ words: LogWords) throws(KVMError) {
        var request = unsafe kvm_dirty_log()
        unsafe request.slot = UInt32(slot)
        unsafe request.dirty_bitmap = UnsafeMutableRawPointer(words.base)
        try unsafe machine.descriptor.request(KVMRequest("KVM_GET_DIRTY_LOG", aerostat_kvm_get_dirty_log), &request)
    }

    /// Clears the bits that are set in `words`, and protects their pages. Stretches without set bits need no request.
    private func clear(_ slot: Int, _ words: LogWords) throws(KVMError) {
        let pages = pageCount(slot)
        var position = 0
        while let range = words.nextStretch(from: position, pages: pages) {
            var request = unsafe kvm_clear_dirty_log()
            unsafe request.slot = UInt32(slot)
            unsafe request.first_page = UInt64(range.lowerBound * 64)
            // Whole words, or up to the end of the slot.
            unsafe request.num_pages = UInt32(min(range.upperBound * 64, pages) - range.lowerBound * 64)
            unsafe request.dirty_bitmap = UnsafeMutableRawPointer(words.base + range.lowerBound)
            try unsafe machine.descriptor.request(KVMRequest("KVM_CLEAR_DIRTY_LOG", aerostat_kvm_clear_dirty_log), &request)
            position = range.upperBound
        }
    }
}

extension KVMError {
    /// Converts the error for interfaces that know only system calls.
    var asSystemError: SystemError {
        guard case .request(let name, let place, let code) = self else { preconditionFailure("a tracker makes requests only: \(self)") }
        return SystemError("do \(name)", place: place, code: code)
    }
}
