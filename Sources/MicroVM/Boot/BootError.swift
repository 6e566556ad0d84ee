package import AerostatHost

/// Why a kernel cannot be started. The description is one line for people.
package enum BootError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A file could not be read.
    case file(SystemError)
    case notAKernel(path: String)
    /// The file is a kernel, but cannot be started here.
    case unsuitable(path: String, reason: String)
    case truncated(path: String, byteCount: UInt64, needed: UInt64)
    case emptyInitrd(path: String)
    case commandLineTooLong(byteCount: Int, maximum: Int)
    case commandLineHasZero
    /// - Parameters:
    ///   - byteCount: guest RAM below the PCI hole.
    ///   - needed: the address at which the kernel ends.
    case memoryTooSmall(byteCount: UInt64, needed: UInt64)
    case initrdTooLarge(path: String, byteCount: UInt64, room: UInt64)

    package var description: String {
        switch self {
        case .file(let error): "\(error)"
        case .notAKernel(let path): "\(path) is no Linux kernel for x86-64: neither a bzImage nor an ELF file"
        case .unsuitable(let path, let reason): "the kernel \(path) cannot be started: \(reason)"
        case .truncated(let path, let byteCount, let needed):
            "the kernel \(path) is cut off: it has \(byteCount) bytes, and its header says \(needed)"
        case .emptyInitrd(let path): "the initrd \(path) is empty"
        case .commandLineTooLong(let byteCount, let maximum):
            "the command line has \(byteCount) bytes, and the kernel takes at most \(maximum)"
        case .commandLineHasZero: "the command line has a zero byte in it, where the kernel would end it"
        case .memoryTooSmall(let byteCount, let needed):
            "the guest has too little memory for this kernel: \(Self.mebibytes(needed)) MiB are needed, and \(byteCount >> 20) MiB are "
                + "there "
                + "below the PCI hole"
        case .initrdTooLarge(let path, let byteCount, let room):
            "the initrd \(path) is too large for the guest's memory: it has \(byteCount) bytes, and beside the kernel there is room for "
                + "\(room)"
        }
    }

    /// Rounds up.
    private static func mebibytes(_ bytes: UInt64) -> UInt64 { bytes >> 20 + (bytes & (1 << 20 - 1) == 0 ? 0 : 1) }
}
