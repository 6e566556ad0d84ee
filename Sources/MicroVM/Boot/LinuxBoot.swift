package import AerostatGuestMemory
import AerostatHost

/// A Linux kernel and perhaps an initrd, which a machine starts without firmware. The files are open and checked.
///
/// The kernel is a bzImage (Linux boot protocol 2.12 or newer, 64-bit entry) or an ELF file (PVH entry if it has that note, else the 64-bit
/// entry). Apart from the headers, only what goes into guest memory is read from the files.
package struct LinuxBoot: ~Copyable, Sendable {
    private let kernel: SourceFile
    private let initrd: SourceFile?
    private let commandLine: [UInt8]
    private let header: Header

    /// COMMAND_LINE_SIZE of Linux for x86, without its zero. ELF files do not state a maximum.
    private static let plainCommandLineMaximum = 2047

    /// Opens the files and reads their headers.
    package init(kernelPath: String, initrdPath: String?, commandLine: String) throws(BootError) {
        let kernel = try Self.open(kernelPath)
        let header: Header
        if let image = try BzImage(kernel) {
            header = Header(image)
        } else if let image = try ELFKernel(kernel) {
            header = Header(image)
        } else {
            throw .notAKernel(path: kernelPath)
        }
        let commandLine = Array(commandLine.utf8)
        guard commandLine.count <= header.commandLineMaximum else {
            throw .commandLineTooLong(byteCount: commandLine.count, maximum: header.commandLineMaximum)
        }
        guard !commandLine.contains(0) else { throw .commandLineHasZero }
        let initrd = try initrdPath.map { (path) throws(BootError) in try Self.openInitrd(path) }
        self.kernel = kernel
        self.initrd = initrd
        self.commandLine = commandLine
        self.header = header
    }

    /// The facts that matter, from a kernel's header of either kind.
    private struct Header {
        let code: KernelCode
        let setupHeader: [UInt8]
        /// The highest address that a byte of the initrd may have.
        let initrdMaximumAddress: UInt64
        /// Without the zero that ends it.
        let commandLineMaximum: Int

        init(_ image: BzImage) {
            code = image.code
            setupHeader = image.setupHeader
            initrdMaximumAddress = image.initrdMaximumAddress
            commandLineMaximum = min(image.commandLineMaximum, BootLayout.commandLineBytes - 1)
        }

        init(_ image: ELFKernel) {
            code = image.code
            setupHeader = BootParameters.plainSetupHeader
            initrdMaximumAddress = UInt64(UInt32.max)
            commandLineMaximum = LinuxBoot.plainCommandLineMaximum
        }
    }

    /// Writes everything that the kernel needs into unused RAM: the kernel, the initrd, the command line, ACPI tables, and what the entry
    /// needs.
    /// - Parameters:
    ///   - memory: a machine's, with the layout of `MachineLayout`.
    ///   - devices: an ACPI node for each device.
    /// - Returns: how the boot vCPU starts.
    package borrowing func load(into memory: GuestRAM, vcpus: Int, devices: [AML.Term]) throws(BootError) -> BootEntry {
        let low = memory.regions.regions[0]
        precondition(low.base == GuestAddress(0) && low.end <= MachineLayout.holeStart, "not a machine's memory")
        guard header.code.end <= low.end else { throw .memoryTooSmall(byteCount: low.byteCount, needed: header.code.end) }
        let placed = try initrdPlace(below: low.end)
        for segment in header.code.segments {
            try Self.copy(kernel, segment.fileOffset..<segment.fileOffset + segment.fileBytes, to: segment.address, memory)
        }
        if let placed { try copyInitrd(to: placed.lowerBound, memory) }
        do throws(AccessError) {
            return try writeTables(into: memory, initrd: placed, vcpus: vcpus, devices: devices)
        } catch {
            preconditionFailure("\(error), although the kernel above it is")
        }
    }

    /// As high as possible: the kernel grows upwards from wherever it moves itself.
    private borrowing func initrdPlace(below end: UInt64) throws(BootError) -> Range<UInt64>? {
        switch initrd {
        case .none: return nil
        case .some(let file):
            let pageMask = UInt64(GuestPage.size - 1)
            let limit = min(end, header.initrdMaximumAddress + 1) & ~pageMask
            let kernelEnd = (header.code.end + pageMask) & ~pageMask
            let room = limit > kernelEnd ? limit - kernelEnd : 0
            guard file.byteCount <= room else { throw .initrdTooLarge(path: file.path, byteCount: file.byteCount, room: room) }
            let start = (limit - file.byteCount) & ~pageMask
            return start..<start + file.byteCount
        }
    }

    private borrowing func writeTables(
        into memory: GuestRAM,
        initrd: Range<UInt64>?,
        vcpus: Int,
        devices: [AML.Term]
    ) throws(AccessError) -> BootEntry {
        let parameters = BootParameters(
            memoryMap: BootParameters.memoryMap(of: memory.regions),
            initrd: initrd,
            rootPointer: try ACPITables.write(into: memory, vcpus: vcpus, devices: devices)
        )
        try ResetVector.write(into: memory)
        try memory.write(commandLine + [0], at: BootLayout.commandLine)
        let entry: BootEntry
        switch header.code.entry {
        case .pvh(let address):
            try parameters.writeStartInfo(into: memory)
            entry = BootEntry(.protected32, instruction: address, rbx: BootLayout.startInfo.rawValue)
        case .long64(let address):
            try parameters.writeZeroPage(header.setupHeader, into: memory)
            let tables = try IdentityPageTables.write(into: memory)
            entry = BootEntry(.long64(pageTables: tables), instruction: address, rsi: BootLayout.bootParameters.rawValue)
        }
        try entry.writeDescriptors(into: memory)
        return entry
    }

    // MARK: Files

    private static func open(_ path: String) throws(BootError) -> SourceFile {
        do throws(SystemError) { return try SourceFile(path) } catch { throw .file(error) }
    }

    private static func openInitrd(_ path: String) throws(BootError) -> SourceFile {
        let file = try open(path)
        guard file.byteCount > 0 else { throw .emptyInitrd(path: path) }
        return file
    }

    private borrowing func copyInitrd(to address: UInt64, _ memory: GuestRAM) throws(BootError) {
        switch initrd {
        case .some(let file): try Self.copy(file, 0..<file.byteCount, to: address, memory)
        case .none: break
        }
    }

    /// Copies a part of a file into RAM that has room for it.
    private static func copy(_ file: borrowing SourceFile, _ range: Range<UInt64>, to address: UInt64, _ memory: GuestRAM) throws(BootError)
    {
        let stepBytes = 1 << 20
        for offset in stride(from: range.lowerBound, to: range.upperBound, by: stepBytes) {
            let part = try file.bytes(at: offset, byteCount: Int(min(range.upperBound - offset, UInt64(stepBytes))))
            do throws(AccessError) {
                try memory.write(part.bytes, at: GuestAddress(address + offset - range.lowerBound))
            } catch {
                preconditionFailure("\(error), although it was measured")
            }
        }
    }
}
