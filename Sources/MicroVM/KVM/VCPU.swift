import AerostatHost
import CLinux
import Glibc
import Synchronization
import SystemPackage

/// One vCPU. Its own thread runs it. While the thread stands, whoever holds the machine's lock may read its state.
// @unchecked: only the vCPU's thread touches the memory that is shared with the kernel, except for one flag, which is atomic.
@safe final class VCPU: @unchecked Sendable {
    let index: Int
    let descriptor: KVMDescriptor
    /// The size of its extended state in bytes.
    let xsaveBytes: Int
    private let shown = Mutex(Shown())
    private let mapping: SharedMapping
    private let run: UnsafeMutablePointer<kvm_run>
    /// Where KVM records the pages that this vCPU wrote, if the machine logs with rings.
    let ring: DirtyRing?

    init(
        _ index: Int,
        of machine: borrowing KVMDescriptor,
        mappingBytes: Int,
        log: VirtualMachine.Log,
        xsaveBytes: Int
    ) throws(KVMError) {
        self.index = index
        self.xsaveBytes = xsaveBytes
        let number = try machine.request(KVMRequest("KVM_CREATE_VCPU", aerostat_kvm_create_vcpu), number: UInt(index))
        descriptor = KVMDescriptor(.init(adopting: Int32(number)), place: "vCPU \(index)")
        mapping = try SharedMapping(descriptor, byteCount: mappingBytes)
        unsafe run = mapping.base.assumingMemoryBound(to: kvm_run.self)
        if case .rings(let entries) = log { ring = try DirtyRing(descriptor, entries: entries) } else { ring = nil }
    }

    /// What the guest sees of the processor and cannot change. It is kept here, so that nobody has to ask a running vCPU, which would not
    /// answer before it leaves the guest.
    struct Shown: Sendable {
        var cpuid: [CPUIDEntry] = []
        /// The frequency of the time stamp counter; `nil` if it is the host's.
        var tscKilohertz: UInt32?
        /// The registers that hold a guest's state.
        var msrs: [UInt32] = []
    }

    var shownToGuest: Shown { shown.withLock(\.self) }

    func change(_ body: (inout Shown) -> Void) { shown.withLock { body(&$0) } }

    /// Sets the CPUID, before the vCPU first runs.
    func show(_ cpuid: [CPUIDEntry]) throws(KVMError) {
        try CPUIDTable.write(cpuid, with: KVMRequest("KVM_SET_CPUID2", aerostat_kvm_set_cpuid2), to: descriptor)
        change { $0.cpuid = cpuid }
    }

    /// Why a vCPU left the guest.
    enum Event: Hashable, Sendable {
        /// The guest accessed a device, and was served.
        case served
        /// A signal, or the request to leave at once.
        case interrupted
        /// The ring of written pages must be emptied before the guest can continue.
        case ringFull
        case ended(MicroVM.Ending)
    }

    /// Makes `enter` return at once. May be called on any thread.
    func setImmediateExit(_ isWanted: Bool) { unsafe aerostat_kvm_set_immediate_exit(run, isWanted ? 1 : 0) }

    /// Runs the guest until it leaves, and serves its device accesses.
    func enter(_ bus: DeviceBus) -> Event {
        guard aerostat_kvm_number(descriptor.number, aerostat_kvm_run, 0) == 0 else {
            switch Errno(rawValue: errno) {
            case .interrupted: return .interrupted
            // The vCPU waited for its startup interrupt and got it.
            case .resourceTemporarilyUnavailable: return .served
            case let code: return .ended(.crash(reason: "KVM_RUN failed (vCPU \(index)): \(code)"))
            }
        }
        switch unsafe Int32(run.pointee.exit_reason) {
        case KVM_EXIT_IO: servePorts(bus)
        case KVM_EXIT_MMIO: serveMemory(bus)
        case KVM_EXIT_INTR: return .interrupted
        case KVM_EXIT_IRQ_WINDOW_OPEN: return .served
        case KVM_EXIT_DIRTY_RING_FULL: return .ringFull
        case let reason: return .ended(ending(reason))
        }
        return .served
    }

    /// Completes a device access that the guest has begun, without running the guest further. The vCPU's state is consistent only then.
    func settle(_ bus: DeviceBus) -> Event {
        setImmediateExit(true)
        // One instruction accesses a device at most 4096 times: KVM returns to the guest after 1024 accesses of a string instruction.
        for _ in 0..<4096 {
            let event = enter(bus)
            if event != .served { return event }
        }
        return .ended(.crash(reason: "vCPU \(index) does not finish one instruction"))
    }

    // MARK: Devices

    private func servePorts(_ bus: DeviceBus) {
        let io = unsafe run.pointee.io
        let width = Int(io.size)
        let (offset, count) = (Int(io.data_offset), Int(io.count))
        precondition([1, 2, 4].contains(width) && offset + width * count <= mapping.byteCount, "KVM's own numbers are wrong")
        for item in 0..<count {
            let place = unsafe mapping.base + offset + item * width
            if io.direction == UInt8(KVM_EXIT_IO_OUT) {
                var value: UInt32 = 0
                unsafe memcpy(&value, place, width)
                bus.output(port: io.port, width: width, value: value)
            } else {
                var value = bus.input(port: io.port, width: width)
                unsafe memcpy(place, &value, width)
            }
        }
    }

    private func serveMemory(_ bus: DeviceBus) {
        var mmio = unsafe run.pointee.mmio
        let width = Int(mmio.len)
        precondition((1...8).contains(width), "KVM's own numbers are wrong")
        var value: UInt64 = 0
        if mmio.is_write != 0 {
            unsafe withUnsafeBytes(of: &mmio.data) { data in _ = unsafe memcpy(&value, data.baseAddress!, width) }
            bus.write(address: mmio.phys_addr, width: width, value: value)
        } else {
            value = bus.read(address: mmio.phys_addr, width: width)
            unsafe withUnsafeMutableBytes(of: &run.pointee.mmio.data) { data in _ = unsafe memcpy(data.baseAddress!, &value, width) }
        }
    }

    // MARK: Endings

    private func ending(_ reason: Int32) -> MicroVM.Ending {
        switch reason {
        case KVM_EXIT_SHUTDOWN: return .crash(reason: "vCPU \(index) had a triple fault")
        case KVM_EXIT_SYSTEM_EVENT:
            switch unsafe Int32(run.pointee.system_event.type) {
            case KVM_SYSTEM_EVENT_SHUTDOWN: return .powerOff
            case KVM_SYSTEM_EVENT_RESET: return .reset
            case let type: return .crash(reason: "the guest reported system event \(type)")
            }
        case KVM_EXIT_FAIL_ENTRY:
            let hardware = unsafe String(run.pointee.fail_entry.hardware_entry_failure_reason, radix: 16)
            return .crash(reason: "vCPU \(index) has a state that the processor does not accept (reason 0x\(hardware))")
        case KVM_EXIT_INTERNAL_ERROR: return .crash(reason: internalError())
        default: return .crash(reason: "vCPU \(index) left the guest for the unknown reason \(reason)")
        }
    }

    private func internalError() -> String {
        let suberror = unsafe Int32(run.pointee.internal.suberror)
        guard suberror == KVM_INTERNAL_ERROR_EMULATION else { return "KVM's internal error \(suberror) on vCPU \(index)" }
        let registers = try? descriptor.get(KVMRequest("KVM_GET_REGS", aerostat_kvm_get_regs), kvm_regs())
        let place = registers.map { "0x" + String($0.rip, radix: 16) } ?? "an unknown place"
        var text = "this \(KVM.path) emulates guest instructions and does not know the one at RIP \(place)"
        var failure = unsafe run.pointee.emulation_failure
        if failure.ndata >= 3, failure.flags & UInt64(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0 {
            let count = Int(min(failure.insn_size, 15))
            let bytes = unsafe withUnsafeBytes(of: &failure.insn_bytes) { unsafe [UInt8]($0.prefix(count)) }
            text += " (bytes " + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ") + ")"
        }
        return text
    }
}
