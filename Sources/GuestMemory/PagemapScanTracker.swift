public import AerostatHost
import CLinux
import Glibc
import SystemPackage

/// Uses userfaultfd write-protection in async mode and harvests it by `PAGEMAP_SCAN`. It sees every writer that goes through this process's
/// page tables, costs a page-table walk of the populated memory, and never stops the guest.
public final class PagemapScanTracker: DirtyTracker {
    private let memory: GuestRAM
    private let scan: PageScan
    private let registration = Monitor<Int32?>(nil)

    /// Fails on kernels before 6.7, and if userfaultfd or pagemap is forbidden.
    public init(_ memory: GuestRAM) throws(SystemError) {
        self.memory = memory
        scan = try PageScan()
        // Arm and disarm once, so that a host that cannot do this fails now and not in the middle of a migration.
        try arm()
        disarm()
    }

    deinit { disarm() }

    public var name: String { TrackerKind.pagemapScan.rawValue }

    public func arm() throws(SystemError) {
        disarm()
        let flags = O_CLOEXEC | O_NONBLOCK
        // Without privilege, only faults from user mode may be handled. That is enough: async write-protection never leaves the kernel.
        var number = aerostat_userfaultfd(flags)
        if number < 0 { number = aerostat_userfaultfd(flags | aerostat_uffd_user_mode_only) }
        guard number >= 0 else { throw SystemError.current("create a userfaultfd") }
        let fault = OwnedDescriptor(adopting: number)
        try retryingInterrupts("ask userfaultfd for asynchronous write-protection") {
            aerostat_uffd_api(fault.number, aerostat_uffd_feature_wp_async | aerostat_uffd_feature_wp_hugetlbfs_shmem)
        }
        try memory.pieces.read { pieces throws(SystemError) in
            try memory.layout.withLock { layout throws(SystemError) in
                for piece in pieces.all {
                    try memory.register(piece, with: number)
                    // Protect only what is populated: protecting holes would build page tables for all of RAM.
                    try scan.scan(piece, .protectPopulated) { _ in }
                }
                layout.fault = number
            }
        }
        let kept = fault.release()
        registration.withLock { $0 = kept }
    }

    public func harvest(into dirty: PageSet) throws(SystemError) {
        precondition(registration.withLock { $0 != nil }, "harvest before arm")
        try memory.pieces.read { pieces throws(SystemError) in
            // Taken so that userfaultfd already tracks any mapping that a discard has just put in place.
            try memory.layout.withLock { _ throws(SystemError) in
                for piece in pieces.all { try scan.scan(piece, .harvestWritten) { dirty.insert($0) } }
            }
        }
    }

    public func disarm() {
        let number = registration.withLock { state -> Int32? in
            defer { state = nil }
            return state
        }
        guard let number else { return }
        memory.layout.withLock { layout in
            layout.fault = nil
            // Closing the descriptor unregisters the range and lifts the protection.
            _ = OwnedDescriptor(adopting: number)
        }
    }
}
