import CLiburing

/// What a ring is used for.
public enum RingOperations: Sendable {
    /// Messages over sockets.
    case sockets
    /// Reading and writing files.
    case files

    /// The kernel operations that this needs, and their names for people.
    var needed: [(io_uring_op, String)] {
        switch self {
        case .sockets:
            [(IORING_OP_SENDMSG, "SENDMSG"), (IORING_OP_RECVMSG, "RECVMSG"), (IORING_OP_POLL_ADD, "POLL_ADD")]
        case .files:
            [
                (IORING_OP_READ, "READ"), (IORING_OP_WRITE, "WRITE"), (IORING_OP_FSYNC, "FSYNC"), (IORING_OP_FALLOCATE, "FALLOCATE"),
                (IORING_OP_POLL_ADD, "POLL_ADD"),
            ]
        }
    }
}
