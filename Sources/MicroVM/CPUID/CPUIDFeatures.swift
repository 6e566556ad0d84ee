/// One register of CPUID that is a set of features, and Linux's names for them.
struct CPUIDFeatures {
    let function: UInt32
    let index: UInt32
    let register: any WritableKeyPath<CPUIDEntry, UInt32> & Sendable
    /// From bit 0 on; "-" is a bit that we do not know.
    private let names: [Substring]
    /// The bits that a guest may see: known features whose state can be migrated.
    let visible: UInt32

    private init(_ function: UInt32, _ index: UInt32, _ register: any WritableKeyPath<CPUIDEntry, UInt32> & Sendable, _ names: String) {
        self.function = function
        self.index = index
        self.register = register
        self.names = names.split(separator: " ")
        visible = self.names.enumerated().reduce(0) { bits, name in
            bits | (name.element == "-" || Self.hidden.contains(name.element) ? 0 : 1 << UInt32(name.offset))
        }
    }

    /// A feature's name for people. Works for bits without a name too.
    func name(ofBit bit: Int) -> String {
        if bit < names.count, names[bit] != "-" { return String(names[bit]) }
        return "bit \(bit) of CPUID 0x\(String(function, radix: 16)).\(index)"
    }

    // MARK: The features (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Documentation/virt/kvm/x86/cpuid.rst)

    static let all = [
        CPUIDFeatures(
            1,
            0,
            \.edx,
            "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - ds acpi mmx fxsr sse sse2 ss ht tm - "
                + "pbe"
        ),
        CPUIDFeatures(
            1,
            0,
            \.ecx,
            "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 x2apic movbe "
                + "popcnt tsc_deadline_timer aes xsave osxsave avx f16c rdrand hypervisor"
        ),
        CPUIDFeatures(6, 0, \.eax, "- - arat"),
        CPUIDFeatures(
            7,
            0,
            \.ebx,
            "fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 erms invpcid rtm cqm zero_fcs_fds mpx rdt_a avx512f avx512dq "
                + "rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl"
        ),
        CPUIDFeatures(
            7,
            0,
            \.ecx,
            "prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme "
                + "avx512_vpopcntdq - la57 - - - - - rdpid keylocker bus_lock_detect cldemote - movdiri movdir64b enqcmd sgx_lc pks"
        ),
        CPUIDFeatures(
            7,
            0,
            \.edx,
            "- - avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect srbds_ctrl md_clear rtm_always_abort - tsx_force_abort "
                + "serialize hybrid tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl intel_stibp "
                + "flush_l1d "
                + "arch_capabilities core_capabilities spec_ctrl_ssbd"
        ),
        CPUIDFeatures(
            7,
            1,
            \.eax,
            "sha512 sm3 sm4 - avx_vnni avx512_bf16 lass cmpccxadd - - fzrm fsrs fsrc - - - - lkgs wrmsrns - - - avx_ifma - - lam"
        ),
        CPUIDFeatures(7, 1, \.edx, "- - - - avx_vnni_int8 avx_ne_convert - - - - avx_vnni_int16 - - - prefetchi"),
        CPUIDFeatures(7, 2, \.edx, "intel_psfd ipred_ctrl rrsba_ctrl ddpd_u bhi_ctrl mcdt_no"),
        CPUIDFeatures(
            0xD,
            0,
            \.eax,
            "x87_state sse_state avx_state bndregs_state bndcsr_state opmask_state zmm_hi256_state hi16_zmm_state - pkru_state"
        ),
        CPUIDFeatures(0xD, 1, \.eax, "xsaveopt xsavec xgetbv1 xsaves"),
        CPUIDFeatures(
            0x8000_0001,
            0,
            \.edx,
            "fpu vme de pse tsc msr pae mce cx8 apic - syscall mtrr pge mca cmov pat pse36 - mp nx - mmxext mmx fxsr fxsr_opt pdpe1gb "
                + "rdtscp - lm 3dnowext 3dnow"
        ),
        CPUIDFeatures(
            0x8000_0001,
            0,
            \.ecx,
            "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce - "
                + "nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx"
        ),
        CPUIDFeatures(
            0x8000_0008,
            0,
            \.ebx,
            "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd - - amd_ibpb - amd_ibrs amd_stibp - amd_stibp_always_on - ibrs_same_mode "
                + "- - - ppin amd_ssbd virt_ssbd amd_ssb_no cppc amd_psfd btc_no ibpb_ret"
        ),
        CPUIDFeatures(
            0x8000_0021,
            0,
            \.eax,
            "no_nested_data_bp - lfence_rdtsc - - verw_clear null_sel_clr_base - autoibrs no_smm_ctl_msr - - - - - - - - - - prefetchi "
                + "- - - - - - sbpb ibpb_brtype srso_no srso_user_kernel_no"
        ),
        CPUIDFeatures(
            0x4000_0001,
            0,
            \.eax,
            "kvmclock kvm_nopiodelay kvm_mmu kvmclock2 kvm_asyncpf kvm_steal_time kvm_pv_eoi kvm_pv_unhalt - kvm_pv_tlb_flush "
                + "kvm_asyncpf_vmexit kvm_pv_ipi kvm_poll_control kvm_pv_sched_yield kvm_asyncpf_int kvm_msi_ext_dest_id "
                + "kvm_hc_map_gpa_range "
                + "kvm_migration_control - - - - - - kvmclock_stable"
        ),
    ]

    /// Features that a guest must not see: their state is not migrated, they describe only this host's hardware, or their bits follow
    /// control registers (the kernel sets those bits itself).
    private static let hidden: Set<Substring> = [
        // The guest would wait in the processor, or change its power state and clocks.
        "monitor", "mwaitx", "est", "tm", "tm2", "acpi", "pbe", "cppc", "rdpru", "irperf", "ptsc",
        // Performance counters, traces, debug stores, machine checks.
        "dtes64", "ds", "ds_cpl", "pdcm", "sdbg", "cqm", "rdt_a", "intel_pt", "arch_lbr", "ibs", "lwp", "perfctr_core", "perfctr_nb",
        "perfctr_llc", "bpext", "mce", "mca", "wdt",
        // Nested virtual machines, enclaves, keys.
        "vmx", "svm", "smx", "skinit", "sgx", "sgx_lc", "tme", "keylocker", "pconfig", "ppin",
        // State with permissions or ioctls of its own.
        "amx_bf16", "amx_tile", "amx_int8", "shstk", "ibt", "uintr", "enqcmd", "pks",
        // The shape of the hardware.
        "dca", "cid", "xtpr", "pn", "extapic", "nodeid_msr", "hybrid", "core_capabilities",
        // Bits that follow what the guest sets up.
        "osxsave", "ospke",
        // KVM's features that write to guest memory on their own, or that need support of the machine's process.
        "kvm_mmu", "kvm_asyncpf", "kvm_asyncpf_vmexit", "kvm_asyncpf_int", "kvm_steal_time", "kvm_pv_tlb_flush", "kvm_poll_control",
        "kvm_msi_ext_dest_id", "kvm_hc_map_gpa_range", "kvm_migration_control",
    ]
}
