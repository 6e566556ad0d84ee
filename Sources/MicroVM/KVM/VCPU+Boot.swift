import AerostatGuestMemory
import CLinux

// The state of a vCPU before its first instruction: as after a reset, plus what firmware would have set, plus the boot entry.
extension VCPU {
    /// - Parameters:
    ///   - savedMSRs: the registers that hold a guest's state, as far as the processor has them.
    ///   - entry: where the vCPU begins; `nil` if it waits for its startup interrupt.
    func prepare(_ cpuid: [CPUIDEntry], savedMSRs: [UInt32], _ entry: BootEntry?) throws(KVMError) {
        try show(cpuid)
        try setFirmwareRegisters()
        let msrs = try readMSRs(savedMSRs).map(\.index)
        change { $0.msrs = msrs }
        try routeLegacyInterrupts()
        guard let entry else { return }
        var special = try descriptor.get(KVMRequest("KVM_GET_SREGS", aerostat_kvm_get_sregs), kvm_sregs())
        special.cr0 = entry.cr0
        special.cr3 = entry.cr3
        special.cr4 = entry.cr4
        special.efer = entry.efer
        special.cs = kvm_segment(entry.code)
        special.ds = kvm_segment(entry.data)
        special.es = special.ds
        special.fs = special.ds
        special.gs = special.ds
        special.ss = special.ds
        special.tr = kvm_segment(entry.task)
        special.gdt.base = entry.descriptorTable.base.rawValue
        special.gdt.limit = entry.descriptorTable.limit
        try descriptor.set(KVMRequest("KVM_SET_SREGS", aerostat_kvm_set_sregs), special)
        var registers = kvm_regs()
        registers.rip = entry.instruction
        registers.rsp = entry.stack
        registers.rsi = entry.rsi
        registers.rbx = entry.rbx
        registers.rflags = entry.flags
        try descriptor.set(KVMRequest("KVM_SET_REGS", aerostat_kvm_set_regs), registers)
        if index > 0 { try setRunnable() }
    }

    private func setRunnable() throws(KVMError) {
        try descriptor.set(
            KVMRequest("KVM_SET_MP_STATE", aerostat_kvm_set_mp_state),
            kvm_mp_state(mp_state: UInt32(KVM_MP_STATE_RUNNABLE))
        )
    }

    /// Intel SDM volume 4. Registers that this processor does not have are left out.
    private func setFirmwareRegisters() throws(KVMError) {
        // IA32_MISC_ENABLE: fast string instructions. IA32_MTRR_DEF_TYPE: on, and memory is write-back.
        _ = try setMSRs([MSR(index: 0x1A0, value: 1), MSR(index: 0x2FF, value: 1 << 11 | 6)])
    }

    /// Local interrupt 0 comes from the legacy controllers, 1 is the non-maskable one (Intel SDM volume 3, section 12.5.1).
    private func routeLegacyInterrupts() throws(KVMError) {
        var controller = try descriptor.get(KVMRequest("KVM_GET_LAPIC", aerostat_kvm_get_lapic), kvm_lapic_state())
        unsafe withUnsafeMutableBytes(of: &controller) { bytes in
            unsafe bytes.storeBytes(of: 7 << 8, toByteOffset: 0x350, as: UInt32.self)
            unsafe bytes.storeBytes(of: 4 << 8, toByteOffset: 0x360, as: UInt32.self)
        }
        try descriptor.set(KVMRequest("KVM_SET_LAPIC", aerostat_kvm_set_lapic), controller)
    }
}

extension kvm_segment {
    init(_ segment: BootSegment) {
        self.init()
        base = segment.base
        limit = segment.limit
        selector = segment.selector
        type = segment.type
        present = segment.isPresent ? 1 : 0
        dpl = segment.privilege
        db = segment.is32Bit ? 1 : 0
        s = segment.isCodeOrData ? 1 : 0
        l = segment.is64Bit ? 1 : 0
        g = segment.isInPages ? 1 : 0
    }
}
