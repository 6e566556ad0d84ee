import AerostatHost
import CLinux
import Glibc
import SystemPackage

/// Reads `/proc/self/pagemap`: which pages of guest RAM exist, and which were written (`PAGEMAP_SCAN`, Linux 6.7).
struct PageScan: ~Copyable {
    /// What to look for. Holes never match: the kernel skips them for the cost of a page-table walk.
    enum Pass {
        /// Pages whose content is not known to be zero.
        case present
        /// Every page that may hold something. The pass write-protects them.
        case protectPopulated
        /// Pages written since they were protected. The pass protects them again.
        case harvestWritten
    }

    private let pagemap: OwnedDescriptor

    init() throws(SystemError) {
        pagemap = try OwnedDescriptor.open("/proc/self/pagemap", flags: O_RDONLY)
    }

    /// The number of regions that one call returns: 24 KiB of results.
    private static let regionsPerCall = 1024

    /// Calls `found` with each run of matching pages, ascending.
    func scan(_ piece: MemoryPiece, _ pass: Pass, found: (PageRun) -> Void) throws(SystemError) {
        guard piece.kind == .sharedAnonymous || piece.kind == .file else { return try walk(piece, pass, found: found) }
        // The page table does not show all of shared memory: the kernel may drop the entry of a page that was written, and other processes
        // may add pages. So this looks at all pages that the file holds. A page without an entry counts as written, unless it was
        // protected.
        try piece.forEachExtent { extent throws(SystemError) in try walk(piece.part(extent), pass, found: found) }
    }

    /// Reads entries of the classic pagemap.
    /// - Returns: bytes read, at least one entry.
    func readEntries(_ entries: inout [UInt64], count: Int, from first: Int) throws(SystemError) -> Int {
        let bytes = try retryingInterrupts("read the page table", place: "/proc/self/pagemap") {
            unsafe entries.withUnsafeMutableBytes { unsafe pread(pagemap.number, $0.baseAddress!, count * 8, first * 8) }
        }
        guard bytes >= 8 else { throw SystemError("read the page table", place: "/proc/self/pagemap", code: .ioError) }
        return bytes
    }

    private func walk(_ piece: MemoryPiece, _ pass: Pass, found: (PageRun) -> Void) throws(SystemError) {
        let base = unsafe UInt64(UInt(bitPattern: piece.host))
        var argument = aerostat_pm_scan_arg()
        argument.size = UInt64(MemoryLayout<aerostat_pm_scan_arg>.size)
        argument.start = base
        argument.end = base + UInt64(piece.pages.byteCount)
        argument.select(pass, piece.kind)
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
                // The kernel reports a huge page whole, even beyond the range that was asked for.
                let (start, end) = (max(region.start, base), min(region.end, argument.end))
                guard start < end else { continue }
                let first = piece.pages.first + Int((start - base) >> UInt64(GuestPage.shift))
                found(PageRun(first: first, count: Int((end - start) >> UInt64(GuestPage.shift))))
            }
            precondition(argument.walk_end > argument.start, "PAGEMAP_SCAN made no progress")
            argument.start = argument.walk_end
        }
    }
}

extension aerostat_pm_scan_arg {
    /// Selects what matches in a pass over one kind of memory.
    fileprivate mutating func select(_ pass: PageScan.Pass, _ kind: MemoryPiece.Kind) {
        switch kind {
        case .privateMemory:
            // Exclude the pages that show an image's content. The mapping is private: the first write to such a page replaces it by a page
            // of this process's own, which is neither the file's nor protected, and so counts as written. When a page of the image is read,
            // evicted or loaded again, nothing changes. So these pages need no protection, and no page tables to hold it.
            category_mask = aerostat_page_is_file
            category_inverted = aerostat_page_is_file
            category_anyof_mask = aerostat_page_is_present | aerostat_page_is_swapped
        // A huge page stays in the page table until it is given back.
        case .hugeFile: category_anyof_mask = aerostat_page_is_present | aerostat_page_is_swapped
        case .file, .sharedAnonymous: break
        }
        switch pass {
        case .present:
            category_mask |= aerostat_page_is_pfnzero
            category_inverted |= aerostat_page_is_pfnzero
        case .protectPopulated:
            flags = aerostat_pm_scan_wp_matching | aerostat_pm_scan_check_wpasync
        case .harvestWritten:
            flags = aerostat_pm_scan_wp_matching | aerostat_pm_scan_check_wpasync
            category_mask |= aerostat_page_is_written
        }
    }
}
