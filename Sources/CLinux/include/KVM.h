#pragma once

// KVM's requests (linux/kvm.h, Documentation/virt/kvm/api.rst) are macros that Swift does not import.

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>

/// All of KVM's requests take a pointer or a number.
static inline int aerostat_kvm(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }
static inline int aerostat_kvm_number(int fd, unsigned long request, unsigned long argument) { return ioctl(fd, request, argument); }

// Of /dev/kvm.
static const unsigned long aerostat_kvm_get_api_version = KVM_GET_API_VERSION;
static const unsigned long aerostat_kvm_create_vm = KVM_CREATE_VM;
static const unsigned long aerostat_kvm_check_extension = KVM_CHECK_EXTENSION;
static const unsigned long aerostat_kvm_get_vcpu_mmap_size = KVM_GET_VCPU_MMAP_SIZE;
static const unsigned long aerostat_kvm_get_supported_cpuid = KVM_GET_SUPPORTED_CPUID;
static const unsigned long aerostat_kvm_get_msr_index_list = KVM_GET_MSR_INDEX_LIST;

// Of a virtual machine.
static const unsigned long aerostat_kvm_set_tss_address = KVM_SET_TSS_ADDR;
static const unsigned long aerostat_kvm_set_identity_map_address = KVM_SET_IDENTITY_MAP_ADDR;
static const unsigned long aerostat_kvm_create_irqchip = KVM_CREATE_IRQCHIP;
static const unsigned long aerostat_kvm_get_irqchip = KVM_GET_IRQCHIP;
static const unsigned long aerostat_kvm_set_irqchip = KVM_SET_IRQCHIP;
static const unsigned long aerostat_kvm_irq_line = KVM_IRQ_LINE;
static const unsigned long aerostat_kvm_create_pit2 = KVM_CREATE_PIT2;
static const unsigned long aerostat_kvm_get_pit2 = KVM_GET_PIT2;
static const unsigned long aerostat_kvm_set_pit2 = KVM_SET_PIT2;
static const unsigned long aerostat_kvm_get_clock = KVM_GET_CLOCK;
static const unsigned long aerostat_kvm_set_clock = KVM_SET_CLOCK;
static const unsigned long aerostat_kvm_irqfd = KVM_IRQFD;
static const unsigned long aerostat_kvm_ioeventfd = KVM_IOEVENTFD;
static const unsigned long aerostat_kvm_enable_cap = KVM_ENABLE_CAP;
static const unsigned long aerostat_kvm_set_user_memory_region = KVM_SET_USER_MEMORY_REGION;
static const unsigned long aerostat_kvm_get_dirty_log = KVM_GET_DIRTY_LOG;
static const unsigned long aerostat_kvm_clear_dirty_log = KVM_CLEAR_DIRTY_LOG;
static const unsigned long aerostat_kvm_reset_dirty_rings = KVM_RESET_DIRTY_RINGS;
static const unsigned long aerostat_kvm_create_vcpu = KVM_CREATE_VCPU;

// Of a vCPU.
static const unsigned long aerostat_kvm_run = KVM_RUN;
static const unsigned long aerostat_kvm_set_cpuid2 = KVM_SET_CPUID2;
static const unsigned long aerostat_kvm_get_cpuid2 = KVM_GET_CPUID2;
static const unsigned long aerostat_kvm_get_regs = KVM_GET_REGS;
static const unsigned long aerostat_kvm_set_regs = KVM_SET_REGS;
static const unsigned long aerostat_kvm_get_sregs = KVM_GET_SREGS;
static const unsigned long aerostat_kvm_set_sregs = KVM_SET_SREGS;
static const unsigned long aerostat_kvm_get_msrs = KVM_GET_MSRS;
static const unsigned long aerostat_kvm_set_msrs = KVM_SET_MSRS;
static const unsigned long aerostat_kvm_get_xsave = KVM_GET_XSAVE;
static const unsigned long aerostat_kvm_get_xsave2 = KVM_GET_XSAVE2;
static const unsigned long aerostat_kvm_set_xsave = KVM_SET_XSAVE;
static const unsigned long aerostat_kvm_get_xcrs = KVM_GET_XCRS;
static const unsigned long aerostat_kvm_set_xcrs = KVM_SET_XCRS;
static const unsigned long aerostat_kvm_get_lapic = KVM_GET_LAPIC;
static const unsigned long aerostat_kvm_set_lapic = KVM_SET_LAPIC;
static const unsigned long aerostat_kvm_get_vcpu_events = KVM_GET_VCPU_EVENTS;
static const unsigned long aerostat_kvm_set_vcpu_events = KVM_SET_VCPU_EVENTS;
static const unsigned long aerostat_kvm_get_mp_state = KVM_GET_MP_STATE;
static const unsigned long aerostat_kvm_set_mp_state = KVM_SET_MP_STATE;
static const unsigned long aerostat_kvm_get_debugregs = KVM_GET_DEBUGREGS;
static const unsigned long aerostat_kvm_set_debugregs = KVM_SET_DEBUGREGS;
static const unsigned long aerostat_kvm_get_tsc_khz = KVM_GET_TSC_KHZ;
static const unsigned long aerostat_kvm_set_tsc_khz = KVM_SET_TSC_KHZ;
static const unsigned long aerostat_kvm_kvmclock_ctrl = KVM_KVMCLOCK_CTRL;

static const uint32_t aerostat_kvm_mem_log_dirty_pages = KVM_MEM_LOG_DIRTY_PAGES;

/// Where the ring of dirty pages lies in a vCPU's mapping.
static const long aerostat_kvm_dirty_log_page = KVM_DIRTY_LOG_PAGE_OFFSET;

// ---- Fields of kvm_run that another thread, or the kernel, has its hands on.

/// Has the next KVM_RUN return at once, when it has completed what the last one left open.
static inline void aerostat_kvm_set_immediate_exit(struct kvm_run *run, uint8_t value) {
    __atomic_store_n(&run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

/// An entry of the dirty ring: takes it where the kernel has filled it, and marks it as taken.
/// Returns 1, with the page, or 0 where there is none.
static inline int aerostat_kvm_take_dirty_page(struct kvm_dirty_gfn *entry, uint32_t *slot, uint64_t *offset) {
    // Acquire: slot and offset were written before the flag. Release: they were read before it is handed back.
    if (__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY) return 0;
    *slot = entry->slot;
    *offset = entry->offset;
    __atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
    return 1;
}

// ---- The signal that brings a thread out of KVM_RUN. What it does is to arrive.

static inline void aerostat_on_kick(int number) { (void)number; }

/// The signal's number. Not a real-time signal, which is not sent where the user has too many of them waiting (RLIMIT_SIGPENDING),
/// whoever's they are. Nothing else here uses this one, and without a handler it does nothing.
static inline int aerostat_kick_signal(void) { return SIGURG; }

/// Has the calling thread come out of KVM_RUN by the signal. It may have inherited a mask that blocks it: threads of a pool have one.
/// Returns 0 or an error number.
static inline int aerostat_accept_kicks(void) {
    struct sigaction action = {.sa_handler = aerostat_on_kick};
    if (sigaction(aerostat_kick_signal(), &action, 0) != 0) return errno;
    sigset_t kick;
    sigemptyset(&kick);
    sigaddset(&kick, aerostat_kick_signal());
    return pthread_sigmask(SIG_UNBLOCK, &kick, 0);
}
