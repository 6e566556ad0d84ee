import AerostatHost
public import SystemPackage

/// Why there is no ring, or no operation on one.
public enum RingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kernel or a sandbox does not allow io_uring at all.
    case forbidden(Errno)
    /// The kernel has io_uring without an operation that is needed.
    case missingOperation(String)
    case system(operation: String, Errno)

    public var description: String {
        switch self {
        case .forbidden(let code):
            "io_uring is not available here (\(code)); look at the sysctl kernel.io_uring_disabled and at seccomp filters of the container"
        case .missingOperation(let name): "this kernel's io_uring lacks \(name); Linux 5.11 or later is needed"
        case .system(let operation, .noMemory):
            // What the kernel answers where a limit is too low is the same as where there is no memory.
            "io_uring could not \(operation): \(Errno.noMemory); its memory counts as locked memory, of which this user may have "
                + "\(HostLimits.lockedMemory) (ulimit -l): raise that limit where it is too low"
        case .system(let operation, let code): "io_uring could not \(operation): \(code)"
        }
    }
}
