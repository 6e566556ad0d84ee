import CLinux
import Glibc
public import Host
import SystemPackage

/// `/proc/self/pagemap`: which pages of guest RAM exist, and which were written (`PAGEMAP_SCAN`, Linux 6.7).
struct PageScan: ~Copyable {
    /// What to look for. Holes never match: the kernel skips them at page-table cost.
    ///
    /// Nor do pages that show their file's content. The mapping is private, so the first write to one puts a page of this process's own
    /// in its place, which is not the file's and not protected: written. Reading one, its eviction and its return change nothing. So
    /// they need no protection, and no markers in page tables that would have to be built for it.
    enum Pass {
        /// Pages of this process's own whose content is not known to be zero.
        case present
        /// Every page of this process's own; write-protects them.
        case protectPopulated
        /// Pages written since they were protected; protects them again.
        case harvestWritten
        #if BrokenEngines
            /// Pages written since they were protected; leaves them so.
            case readWritten
        #endif
    }

    private let pagemap: OwnedDescriptor

    init() throws(SystemError) {
        pagemap = try OwnedDescriptor.open("/proc/self/pagemap", flags: O_RDONLY)
    }

    /// Regions fetched by one call: 24 KiB of results.
    private static let regionsPerCall = 1024

    /// Calls `found` with each run of matching pages.
    func scan(_ memory: GuestRAM, _ pass: Pass, found: (PageRun) -> Void) throws(SystemError) {
        let base = unsafe UInt64(UInt(bitPattern: memory.hostBase))
        var argument = aerostat_pm_scan_arg()
        argument.size = UInt64(MemoryLayout<aerostat_pm_scan_arg>.size)
        argument.start = base
        argument.end = base + memory.regions.byteCount
        argument.category_anyof_mask = aerostat_page_is_present | aerostat_page_is_swapped
        argument.category_mask = aerostat_page_is_file
        argument.category_inverted = aerostat_page_is_file
        switch pass {
        case .present:
            argument.category_mask |= aerostat_page_is_pfnzero
            argument.category_inverted |= aerostat_page_is_pfnzero
        case .protectPopulated:
            argument.flags = aerostat_pm_scan_wp_matching | aerostat_pm_scan_check_wpasync
        case .harvestWritten:
            argument.flags = aerostat_pm_scan_wp_matching | aerostat_pm_scan_check_wpasync
            argument.category_mask |= aerostat_page_is_written
        #if BrokenEngines
            case .readWritten: argument.category_mask |= aerostat_page_is_written
        #endif
        }
        argument.return_mask = 0
        argument.vec_len = UInt64(Self.regionsPerCall)
        let regions = UnsafeMutablePointer<aerostat_page_region>.allocate(capacity: Self.regionsPerCall)
        defer { unsafe regions.deallocate() }
        argument.vec = UInt64(UInt(bitPattern: regions))
        while argument.start < argument.end {
            let count = try retryingInterrupts("scan the page table", place: "\(pass)") {
                unsafe aerostat_pagemap_scan(pagemap.number, &argument)
            }
            for index in 0..<Int(count) {
                let region = unsafe regions[index]
                found(
                    PageRun(
                        first: PageIndex(Int((region.start - base) >> UInt64(GuestPage.shift))),
                        count: Int((region.end - region.start) >> UInt64(GuestPage.shift))
                    )
                )
            }
            precondition(argument.walk_end > argument.start, "PAGEMAP_SCAN made no progress")
            argument.start = argument.walk_end
        }
    }
}

extension GuestRAM {
    /// Adds the pages that exist: populated or swapped out, and not the kernel's shared zero page; and those whose data is in the
    /// image, touched or not. Reads none of them.
    ///
    /// Where the kernel lacks `PAGEMAP_SCAN`, the classic pagemap is read (8 bytes for each page of the guest).
    package func insertPresentPages(into present: DirtyBitmap) throws(SystemError) {
        if let image { insertImagePages(image, into: present) }
        let scan = try PageScan()
        do throws(SystemError) {
            try scan.scan(self, .present) { present.insert($0) }
        } catch  where error.code == .inappropriateIOCTLForDevice || error.code == .invalidArgument {
            try insertPresentPagesFromPagemap(into: present)
        }
    }

    /// Bits 63 (present), 62 (swapped) and 61 (a file's page) of the 64-bit entries of `/proc/self/pagemap`
    /// (Documentation/admin-guide/mm/pagemap.rst). The shared zero page counts as present here.
    package func insertPresentPagesFromPagemap(into present: DirtyBitmap) throws(SystemError) {
        let pagemap = try OwnedDescriptor.open("/proc/self/pagemap", flags: O_RDONLY)
        let existing: UInt64 = 0b11 << 62
        let filed: UInt64 = 1 << 61
        var entries = [UInt64](repeating: 0, count: 64 << 10)
        let firstEntry = unsafe Int(bitPattern: hostBase) >> GuestPage.shift
        var page = 0
        while page < pageCount {
            let wanted = min(entries.count, pageCount - page)
            let bytes = try retryingInterrupts("read the page table", place: "/proc/self/pagemap") {
                unsafe entries.withUnsafeMutableBytes { unsafe pread(pagemap.number, $0.baseAddress!, wanted * 8, (firstEntry + page) * 8) }
            }
            guard bytes >= 8 else { throw SystemError("read the page table", place: "/proc/self/pagemap", code: .ioError) }
            // By runs: an atomic operation for each page would cost more than all else.
            var first: Int?
            for index in 0..<bytes / 8 {
                if entries[index] & existing != 0, entries[index] & filed == 0 {
                    first = first ?? index
                } else if let start = first {
                    present.insert(PageRun(first: PageIndex(page + start), count: index - start))
                    first = nil
                }
            }
            if let first { present.insert(PageRun(first: PageIndex(page + first), count: bytes / 8 - first)) }
            page += bytes / 8
        }
    }
}

/// userfaultfd write-protection in async mode, harvested by `PAGEMAP_SCAN`: sees every writer that goes through this process's
/// page tables, costs a page-table walk of what is populated, and never stops the guest.
public final class PagemapScanTracker: DirtyTracker {
    private let memory: GuestRAM
    private let scan: PageScan
    private let registration = Monitor<Int32?>(nil)

    /// Fails on kernels before 6.7 and where userfaultfd or pagemap is forbidden.
    public init(_ memory: GuestRAM) throws(SystemError) {
        self.memory = memory
        scan = try PageScan()
        // Arm and disarm once, so that "not possible here" is known now and not in the middle of a migration.
        try arm()
        disarm()
    }

    deinit { disarm() }

    public var name: String { TrackerKind.pagemapScan.rawValue }

    public func arm() throws(SystemError) {
        disarm()
        let flags = O_CLOEXEC | O_NONBLOCK
        // Without privilege only faults from user mode may be handled; async write-protect never leaves the kernel either way.
        var number = aerostat_userfaultfd(flags)
        if number < 0 { number = aerostat_userfaultfd(flags | aerostat_uffd_user_mode_only) }
        guard number >= 0 else { throw SystemError.current("create a userfaultfd") }
        let fault = OwnedDescriptor(adopting: number)
        try retryingInterrupts("ask userfaultfd for asynchronous write-protection") {
            aerostat_uffd_api(fault.number, aerostat_uffd_feature_wp_async | aerostat_uffd_feature_wp_hugetlbfs_shmem)
        }
        try memory.layout.withLock { layout throws(SystemError) in
            try memory.register(PageRun(first: PageIndex(0), count: memory.pageCount), with: number)
            // Only what is populated: protecting holes would build page tables for all of RAM.
            try scan.scan(memory, .protectPopulated) { _ in }
            layout.fault = number
        }
        let kept = fault.release()
        registration.withLock { $0 = kept }
    }

    public func harvest(into dirty: DirtyBitmap) throws(SystemError) {
        precondition(registration.withLock { $0 != nil }, "harvest before arm")
        // Under the lock: a mapping that a discard has just replaced is seen by userfaultfd again.
        try memory.layout.withLock { _ throws(SystemError) in
            #if BrokenEngines
                if BrokenEngine.isActive(.rearmsLater) {
                    try scan.scan(memory, .readWritten) { dirty.insert($0) }
                    return try scan.scan(memory, .harvestWritten) { _ in }
                }
            #endif
            try scan.scan(memory, .harvestWritten) { dirty.insert($0) }
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

/// Chooses a tracker by what the kernel can do, for a guest that does not run under KVM.
/// - Parameter kind: forces one; `nil` takes the best that works.
public func makeTracker(_ kind: TrackerKind?, for memory: GuestRAM) throws(SystemError) -> any DirtyTracker {
    switch kind {
    case .software: return SoftwareTracker(memory)
    case .pagemapScan: return try PagemapScanTracker(memory)
    case .kvmDirtyLog, .kvmDirtyRing:
        throw SystemError("track writes by \(kind!.rawValue)", place: "the guest does not run under KVM", code: .notSupported)
    case nil:
        do throws(SystemError) { return try PagemapScanTracker(memory) } catch { return SoftwareTracker(memory) }
    }
}
