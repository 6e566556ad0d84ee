import AerostatHost
public import SystemPackage

/// Why a ring, or an operation on one, is not possible.
public enum RingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kernel or a sandbox does not allow io_uring at all.
    case forbidden(Errno)
    /// The kernel has io_uring but lacks a needed operation.
    case missingOperation(String)
    case system(operation: String, Errno)

    public var description: String {
        switch self {
        case .forbidden(let code):
            "io_uring is not available here (\(code)); check the sysctl kernel.io_uring_disabled and the seccomp filters of the container"
        case .missingOperation(let name): "this kernel's io_uring lacks \(name); Linux 5.11 or later is needed"
        case .system(let operation, .noMemory):
            // The kernel gives the same answer for a limit that is too low as for a lack of memory.
            "io_uring could not \(operation): \(Errno.noMemory); its memory counts as locked memory, of which this user may have "
                + "\(HostLimits.lockedMemory) (ulimit -l): raise that limit if it is too low"
        case .system(let operation, let code): "io_uring could not \(operation): \(code)"
        }
    }
}
