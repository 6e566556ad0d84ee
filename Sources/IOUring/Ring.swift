package import CLiburing
import Glibc
public import SystemPackage

/// The result of an operation.
public struct Completion: Hashable, Sendable {
    /// The number that was submitted with the operation.
    public let token: UInt64
    /// The bytes moved, or the operation's own result; a negated errno if it failed.
    public let result: Int32

    /// Why the operation failed; `nil` if it did not.
    public var failure: Errno? { result < 0 ? Errno(rawValue: -result) : nil }
}

/// An io_uring, used only by the thread that made it.
///
/// Operations are prepared, then submitted together. Completions arrive in any order. The memory that an operation uses must stay valid
/// until its completion was seen. Closing the ring cancels the operations in progress and waits for them.
@safe
public struct Ring: ~Copyable {
    private let ring: UnsafeMutablePointer<io_uring>
    /// Whether the kernel runs completions only when this thread asks for them (Linux 6.1).
    public let isDeferred: Bool
    /// The number of operations that were prepared and have not completed.
    private(set) public var inFlight = 0

    /// Makes a ring with the best set-up that the kernel supports.
    /// - Parameters:
    ///   - entries: how many operations can be prepared before a submit; a power of two up to 4096.
    ///   - operations: what the ring will be used for. It is an error now if the kernel lacks one of them.
    ///   - plain: uses the plain set-up even if a better one works.
    public init(entries: UInt32, operations: RingOperations = .sockets, plain: Bool = false) throws(RingError) {
        (unsafe ring, isDeferred) = unsafe try Self.setUp(entries: entries, operations: operations, plain: plain)
    }

    deinit {
        unsafe io_uring_queue_exit(ring)
        unsafe ring.deallocate()
    }

    private static func setUp(
        entries: UInt32,
        operations: RingOperations,
        plain: Bool
    ) throws(RingError) -> (UnsafeMutablePointer<io_uring>, isDeferred: Bool) {
        let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        unsafe ring.initialize(to: io_uring())
        let best = aerostat_setup_single_issuer | aerostat_setup_defer_taskrun
        var code = plain ? -EINVAL : unsafe io_uring_queue_init(entries, ring, best)
        let isDeferred = code == 0
        // Kernels before 6.1 do not know the flags.
        if code == -EINVAL { code = unsafe io_uring_queue_init(entries, ring, 0) }
        guard code == 0 else {
            unsafe ring.deallocate()
            let error = Errno(rawValue: -code)
            throw [.notPermitted, .permissionDenied, .noFunction].contains(error)
                ? .forbidden(error) : .system(operation: "set up a ring", error)
        }
        do throws(RingError) { try unsafe Self.probe(ring, for: operations) } catch {
            unsafe io_uring_queue_exit(ring)
            unsafe ring.deallocate()
            throw error
        }
        return unsafe (ring, isDeferred)
    }

    /// Asks the kernel itself whether it supports the operations.
    private static func probe(_ ring: UnsafeMutablePointer<io_uring>, for operations: RingOperations) throws(RingError) {
        guard let probe = unsafe io_uring_get_probe_ring(ring) else { throw .missingOperation("probing") }
        defer { unsafe io_uring_free_probe(probe) }
        for (operation, name) in operations.needed where unsafe io_uring_opcode_supported(probe, Int32(operation.rawValue)) == 0 {
            throw .missingOperation(name)
        }
        guard unsafe ring.pointee.features & UInt32(IORING_FEAT_EXT_ARG) != 0 else { throw .missingOperation("timed waits") }
    }

    // MARK: Preparing

    // Neither direction waits for a whole message (MSG_WAITALL): on a slow link that would take minutes in which nothing seems to move.

    /// Prepares sending a message. It completes as soon as some of it was sent; the completion tells how much.
    package mutating func prepareSend(_ descriptor: Int32, message: UnsafePointer<msghdr>, token: UInt64) throws(RingError) {
        let entry = unsafe try nextEntry(token)
        unsafe io_uring_prep_sendmsg(entry, descriptor, message, aerostat_msg_nosignal)
    }

    /// Prepares receiving a message into its pieces. It completes as soon as something arrived; the completion tells how much.
    package mutating func prepareReceive(_ descriptor: Int32, message: UnsafeMutablePointer<msghdr>, token: UInt64) throws(RingError) {
        let entry = unsafe try nextEntry(token)
        unsafe io_uring_prep_recvmsg(entry, descriptor, message, 0)
    }

    /// Prepares waiting until a descriptor is readable.
    public mutating func preparePoll(_ descriptor: Int32, token: UInt64) throws(RingError) {
        let entry = unsafe try nextEntry(token)
        unsafe io_uring_prep_poll_add(entry, descriptor, UInt32(POLLIN))
    }

    mutating func nextEntry(_ token: UInt64) throws(RingError) -> UnsafeMutablePointer<aerostat_io_uring_sqe> {
        var entry = unsafe io_uring_get_sqe(ring)
        if unsafe entry == nil {
            try submit()
            unsafe entry = io_uring_get_sqe(ring)
        }
        guard let entry = unsafe entry else { throw .system(operation: "queue an operation", .resourceBusy) }
        // The prep functions do not change user_data.
        unsafe entry.pointee.user_data = token
        inFlight += 1
        return unsafe entry
    }

    // MARK: Submitting and completing

    /// Hands the prepared operations to the kernel.
    public mutating func submit() throws(RingError) {
        while true {
            let code = unsafe io_uring_submit(ring)
            if code >= 0 { return }
            if code != -EINTR { throw .system(operation: "submit", Errno(rawValue: -code)) }
        }
    }

    /// Submits, then sleeps until at least one operation has completed, or the time is over.
    /// - Parameter timeout: the longest sleep; zero does not sleep.
    public mutating func submitAndWait(timeout: Duration) throws(RingError) {
        var specification = __kernel_timespec()
        let (seconds, attoseconds) = max(timeout, .zero).components
        specification.tv_sec = seconds
        specification.tv_nsec = attoseconds / 1_000_000_000
        var entry: UnsafeMutablePointer<io_uring_cqe>?
        let code = unsafe io_uring_submit_and_wait_timeout(ring, &entry, 1, &specification, nil)
        // A timeout and a signal are not errors: the caller checks its clock and its completions.
        if code < 0, code != -ETIME, code != -EINTR, code != -EAGAIN {
            throw .system(operation: "wait for completions", Errno(rawValue: -code))
        }
    }

    /// The next available completion.
    public mutating func nextCompletion() -> Completion? {
        var entry: UnsafeMutablePointer<io_uring_cqe>?
        guard unsafe io_uring_peek_cqe(ring, &entry) == 0, let entry = unsafe entry else { return nil }
        let completion = unsafe Completion(token: entry.pointee.user_data, result: entry.pointee.res)
        unsafe io_uring_cqe_seen(ring, entry)
        inFlight -= 1
        return completion
    }
}
