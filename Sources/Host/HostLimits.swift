import CLinux
import Glibc
import Synchronization
public import SystemPackage

/// Checks how many descriptors, threads and how much address space a process may still take.
///
/// The Swift runtime, libdispatch and NIO end the process, or wait for ever, if they get too little of one of them. So a command checks
/// beforehand and says which limit is too low.
public enum HostLimits {
    /// What must be available.
    public struct Need: Hashable, Sendable {
        public var descriptors: Int
        public var threads: Int
        public var addressSpaceBytes: Int

        public init(descriptors: Int, threads: Int, addressSpaceBytes: Int) {
            self.descriptors = descriptors
            self.threads = threads
            self.addressSpaceBytes = addressSpaceBytes
        }
    }

    /// What there is too little of.
    public enum Shortage: Error, Hashable, Sendable, CustomStringConvertible {
        case descriptors(needed: Int, Errno)
        case addressSpace(neededBytes: Int, Errno)
        case threads(needed: Int, Errno)

        public var description: String {
            switch self {
            case .descriptors(let count, .tooManyOpenFilesInSystem):
                "\(count) files cannot be opened: the whole system has too many open (sysctl fs.file-max)"
            case .descriptors(let count, let code):
                "\(count) more files cannot be opened: \(code); the limit of this process is \(limit(RLIMIT_NOFILE)) (ulimit -n), raise it"
            case .addressSpace(let bytes, let code):
                "\(bytes >> 20) MiB of address space cannot be reserved: \(code); the limit of this process is "
                    + "\(limit(RLIMIT_AS, in: 1024, " KiB")) (ulimit -v), raise it"
            case .threads(let count, let code):
                "\(count) more threads cannot be started: \(code); the limit of processes and threads is \(limit(__RLIMIT_NPROC)) for this "
                    + "user (ulimit -u), and a container or service may have its own limit (pids.max)"
                    + (value(RLIMIT_DATA).map { ", the limit of memory for data is \($0 / 1024) KiB (ulimit -d)" } ?? "") + "; raise it"
            }
        }
    }

    /// Takes this much, and gives it back immediately.
    public static func require(_ need: Need) throws(Shortage) {
        try openDescriptors(need.descriptors)
        try reserve(need.addressSpaceBytes)
        try startThreads(need.threads)
    }

    private static func openDescriptors(_ count: Int) throws(Shortage) {
        var opened: [Int32] = []
        defer { for number in opened { close(number) } }
        while opened.count < count {
            let number = eventfd(0, Int32(EFD_CLOEXEC))
            if number < 0 { throw .descriptors(needed: count, Errno(rawValue: errno)) }
            opened.append(number)
        }
    }

    private static func reserve(_ byteCount: Int) throws(Shortage) {
        let flags = Int32(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
        let place = unsafe mmap(nil, byteCount, PROT_NONE, flags, -1, 0)
        if unsafe place == aerostat_map_failed { throw .addressSpace(neededBytes: byteCount, Errno(rawValue: errno)) }
        unsafe munmap(place, byteCount)
    }

    private static func startThreads(_ count: Int) throws(Shortage) {
        let code = isProbing.withLock { _ in aerostat_probe_threads(Int32(count)) }
        if code != 0 { throw .threads(needed: count, Errno(rawValue: code)) }
    }

    private static let isProbing = Mutex(())

    /// How much memory a user without privileges may lock, for people.
    package static var lockedMemory: String {
        value(__RLIMIT_MEMLOCK).map { "\($0 / 1024) KiB" } ?? "any amount"
    }

    /// Call this first if the address space may be limited. Malloc then takes little of it.
    public static func saveAddressSpace() {
        if value(RLIMIT_AS) != nil { aerostat_use_one_arena() }
    }
}

/// The soft limit; `nil` if there is none.
private func value(_ resource: __rlimit_resource) -> UInt? {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0, limit.rlim_cur != .max else { return nil }
    return UInt(limit.rlim_cur)
}

/// The soft limit, for people.
private func limit(_ resource: __rlimit_resource, in unit: UInt = 1, _ name: String = "") -> String {
    value(resource).map { "\($0 / unit)\(name)" } ?? "not set"
}
