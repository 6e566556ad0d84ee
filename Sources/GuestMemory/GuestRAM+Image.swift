package import AerostatHost
import CLinux
import Glibc
import SystemPackage

/// What guest memory knows about its image.
struct ImageBacking: Sendable {
    /// Pages whose data is in the image, unless it was discarded, whether or not they were written since. Excludes pages that were read at
    /// the start.
    let data: PageSet
    /// Where the image is mapped: `data`, and holes that read as zero if mapping them does not harm the file. Excludes what was discarded.
    let mapped: PageSet
    /// Pages that were read at the start, because they are too scattered to be mapped.
    let readPages: Int
    /// The most kernel mappings that this takes: each stretch, and the anonymous memory around it.
    let mappings: Int
}

// Guest memory that is loaded from an image, page by page as it is touched.
extension GuestRAM {
    /// The most mappings that memory may be cut into. This is half of what Linux allows a process (vm.max_map_count, 65530), because thread
    /// stacks and the allocator need mappings too.
    static let maximumMappings = 32768

    /// Reserves the memory and maps the image over it. Normally nothing is read yet. If holes must not be mapped on this file system, and
    /// the data is so scattered that mapping it takes too many mappings, the shortest runs are read now.
    ///
    /// What the guest writes stays in this process; the file is never written. The file must not be changed in place while this object
    /// exists, because pages that nobody has touched yet would change with it. Renaming another file over it is fine.
    /// - Parameters:
    ///   - file: readable; may be closed afterwards.
    ///   - path: the file's name for people; the message uses it when the file can no longer be read.
    ///   - offset: where page 0 lies in the file; page p lies `p * 4096` further on. A multiple of 2 MiB.
    ///   - pages: the pages that have data in the file; the others read as zero. The set is handed over: discarded pages are removed from
    ///     it.
    ///   - coversHoles: whether holes of the file may be mapped; `nil` lets the file system decide.
    package convenience init(
        _ regions: RegionTable,
        backedBy file: borrowing OwnedDescriptor,
        path: String,
        at offset: UInt64,
        pages: PageSet,
        coversHoles: Bool? = nil
    ) throws(SystemError) {
        precondition(offset % UInt64(Mapping.hugePageBytes) == 0 && pages.pageCount == regions.pageCount, "not this memory's image")
        let mapping = try Mapping(anonymousByteCount: Int(regions.byteCount))
        let stretches = FileStretches(pages, coversHoles: coversHoles ?? file.keepsHolesInMappings)
        let needed = offset + UInt64(stretches.end.rawValue) << UInt64(GuestPage.shift)
        var status = stat()
        try retryingInterrupts("ask for the file's length", place: path) { unsafe fstat(file.number, &status) }
        // Past the end of a file there is nothing to map, not even zeros.
        guard UInt64(status.st_size) >= needed else {
            throw SystemError("map guest memory from the file, which is shorter than \(needed) bytes", place: path, code: .invalidArgument)
        }
        let mapped = try PageSet(pageCount: regions.pageCount)
        for stretch in stretches.mapped {
            let start = stretch.first.rawValue << GuestPage.shift
            try mapping.mapFile(file, at: offset + UInt64(start), over: start..<start + stretch.byteCount)
            mapped.insert(stretch)
        }
        var readPages = 0
        try pages.forEachRun { run throws(SystemError) in
            guard !mapped.contains(run.first) else { return }
            let start = run.first.rawValue << GuestPage.shift
            try mapping.read(file, at: offset + UInt64(start), into: start..<start + run.byteCount, path: path)
            readPages += run.count
            // From now on this is ordinary memory.
            pages.remove(run)
        }
        let watch = try ImageFaultGuard(mapping, path: path, fileOffset: offset)
        let image = ImageBacking(
            data: pages,
            mapped: mapped,
            readPages: readPages,
            mappings: 2 * stretches.mapped.count + 1
        )
        try self.init(regions, mapping, image, watch)
    }

    /// Pages that were read from the image when the memory was made, because they lie too scattered to be mapped.
    package var pagesReadAtStart: Int { image?.readPages ?? 0 }

    /// Cuts a run at the borders of the mapped parts of the image.
    func forEachPart<Failure: Error>(
        of run: PageRun,
        _ body: (_ part: PageRun, _ isFromImage: Bool) throws(Failure) -> Void
    ) throws(Failure) {
        guard let image else { return try body(run, false) }
        precondition(run.end.rawValue <= pageCount, "run outside guest memory")
        var position = run.first
        while position < run.end {
            // Search only up to the end of the run.
            let words = (run.end.rawValue - 1) >> 6 - position.rawValue >> 6 + 1
            let found = image.mapped.nextRun(from: position, maximumPages: run.end.rawValue - position.rawValue, maximumWords: words).run
            let start = min(found?.first ?? run.end, run.end)
            if position < start { try body(PageRun(first: position, count: start.rawValue - position.rawValue), false) }
            position = start
            guard let found, start < run.end else { continue }
            let end = min(found.end, run.end)
            try body(PageRun(first: start, count: end.rawValue - start.rawValue), true)
            position = end
        }
    }

    /// Replaces the image's mapping by anonymous memory. `MADV_DONTNEED` would bring the image's old content back (rule "free, never stale
    /// data").
    ///
    /// If that would take too many mappings, the pages are cleared instead, which keeps their memory.
    func discardFromImage(_ run: PageRun) throws(SystemError) {
        guard let image else { preconditionFailure("no image to discard from") }
        try layout.withLock { layout throws(SystemError) in
            if try mapAnonymous(run, &layout) { image.mapped.remove(run) } else { clear(run) }
        }
        // Do this last. Otherwise a migration that begins now could treat the old content as absent.
        image.data.remove(run)
    }

    /// - Returns: false if there are too many mappings already.
    private func mapAnonymous(_ run: PageRun, _ layout: inout Layout) throws(SystemError) -> Bool {
        // A mapping in the middle of another one turns one into three.
        guard layout.mappings + 2 <= Self.maximumMappings else { return false }
        let start = run.first.rawValue << GuestPage.shift
        do throws(SystemError) { try mapping.mapAnonymous(over: start..<start + run.byteCount) } catch {
            guard error.code == .noMemory else { throw error }
            return false
        }
        layout.mappings += 2
        // The armed tracker must see the new mapping too. Earlier writes to it are found as well, because it is not protected yet.
        if let fault = layout.fault { try register(run, with: fault) }
        return true
    }

    /// Makes a userfaultfd track the writes to a run.
    func register(_ run: PageRun, with fault: Int32) throws(SystemError) {
        try retryingInterrupts("register guest memory with userfaultfd", place: "\(run)") {
            unsafe aerostat_uffd_register_wp(fault, UInt64(UInt(bitPattern: hostAddress(of: run))), UInt64(run.byteCount))
        }
    }

    /// Adds the pages that have data in the image.
    func insertImagePages(_ image: ImageBacking, into present: PageSet) {
        image.data.forEachUsedWord { index in
            let bits = image.data.load(word: index)
            if bits != 0 { present.insert(bits: bits, word: index) }
        }
    }
}
