import CLinux
import Glibc
import Synchronization
import SystemPackage

/// The address at which a stream socket listens or to which it connects.
public enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// A host name or address and a port; port 0 asks the kernel for a free one.
    case tcp(host: String, port: UInt16)
    /// A path in the file system, at most `maximumPathBytes`.
    case unix(path: String)

    /// The size of `sun_path` in unix(7), without the terminating zero byte.
    public static let maximumPathBytes = 107

    public var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "tcp:[\(host)]:\(port)" : "tcp:\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}

/// Why a socket could not be connected or could not listen.
public enum SocketError: Error, Sendable, CustomStringConvertible {
    case unknownHost(String, reason: String)
    case pathTooLong(String)
    case system(SystemError)
    /// Nothing answered within the time.
    case timedOut(String)

    public var description: String {
        switch self {
        case .unknownHost(let host, let reason): "could not resolve the host \(host): \(reason)"
        case .pathTooLong(let path): "the socket path is longer than 107 bytes: \(path)"
        case .system(let error): error.description
        case .timedOut(let what): "\(what): timed out"
        }
    }
}

/// Connects a stream socket.
/// - Parameters:
///   - timeout: how long to wait for the name servers and a silent host, together.
///   - doorbell: ends the wait with `canceled`. The ring is not answered here; the doorbell's owner does that.
public func connectSocket(
    to address: SocketAddress,
    timeout: Duration = .seconds(10),
    unlessRung doorbell: Doorbell? = nil
) throws(SocketError) -> OwnedDescriptor {
    let deadline = MonotonicClock.now() + timeout
    switch address {
    case .tcp(let host, let port):
        let addresses = try HostLookup.shared.addresses(of: host, port: port, until: deadline, unlessRung: doorbell)
        return try firstThatWorks(addresses) { (candidate, left) throws(SystemError) in
            let socket = try newSocket(candidate.family)
            let now = MonotonicClock.now()
            // Leave time for the other addresses if this one is silent.
            let end = now + now.duration(to: deadline) / left
            unsafe try candidate.withPointer { (pointer, length) throws(SystemError) in
                unsafe try connect(socket.number, pointer, length, until: end, doorbell, place: "\(address)")
            }
            noticeDeadPeer(of: socket.number)
            return socket
        }
    case .unix(let path):
        guard path.utf8.count <= 107 else { throw .pathTooLong(path) }
        do throws(SystemError) {
            let socket = try newSocket(AF_UNIX)
            unsafe try withUnixAddress(path) { (pointer, length) throws(SystemError) in
                unsafe try connect(socket.number, pointer, length, until: deadline, doorbell, place: "\(address)")
            }
            noticeDeadPeer(of: socket.number)
            return socket
        } catch {
            throw .system(error)
        }
    }
}

/// Two stream sockets that are connected to each other. The caller owns them.
package func connectedSockets() throws(SystemError) -> (Int32, Int32) {
    var numbers: [Int32] = [-1, -1]
    try retryingInterrupts("create a pair of sockets") {
        unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &numbers)
    }
    return (numbers[0], numbers[1])
}

func newSocket(_ family: Int32) throws(SystemError) -> OwnedDescriptor {
    OwnedDescriptor(
        adopting: try retryingInterrupts("create a socket") {
            socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        }
    )
}

func setBlocking(_ number: Int32, _ blocks: Bool) {
    let flags = aerostat_fcntl(number, F_GETFL, 0)
    _ = aerostat_fcntl(number, F_SETFL, blocks ? flags & ~O_NONBLOCK : flags | O_NONBLOCK)
}

/// The pause between attempts to connect to a unix socket with a full backlog, because nothing tells when there is room.
private let fullBacklogPause: Duration = .milliseconds(20)

private func connect(
    _ number: Int32,
    _ address: UnsafePointer<sockaddr>,
    _ length: socklen_t,
    until deadline: MonotonicClock.Instant,
    _ doorbell: Doorbell?,
    place: String
) throws(SystemError) {
    setBlocking(number, false)
    defer { setBlocking(number, true) }
    let timedOut = SystemError("connect", place: place, code: .timedOut)
    while unsafe Glibc.connect(number, address, length) < 0 {
        let code = Errno(rawValue: errno)
        switch code {
        case .nowInProgress, .interrupted:
            guard try waitForRoom(number, until: deadline, doorbell, place: place) else { throw timedOut }
            return try throwPendingError(of: number, place: place)
        case .resourceTemporarilyUnavailable:
            let now = MonotonicClock.now()
            guard now < deadline else { throw timedOut }
            _ = try waitForRoom(nil, until: min(deadline, now + fullBacklogPause), doorbell, place: place)
        default: throw SystemError("connect", place: place, code: code)
        }
    }
}

/// Sleeps until a descriptor is writable or the time is over. Throws if the doorbell rings.
/// - Returns: whether it is writable.
private func waitForRoom(
    _ number: Int32?,
    until deadline: MonotonicClock.Instant,
    _ doorbell: Doorbell?,
    place: String
) throws(SystemError) -> Bool {
    while true {
        let left = MonotonicClock.now().duration(to: deadline)
        if left <= .zero { return false }
        // `poll` ignores a negative descriptor.
        var entries = [
            pollfd(fd: number ?? -1, events: Int16(POLLOUT), revents: 0),
            pollfd(fd: doorbell?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        _ = unsafe poll(&entries, 2, Int32(clamping: left.wholeMilliseconds + 1))
        if entries[1].revents != 0 { throw SystemError("connect", place: place, code: .canceled) }
        if entries[0].revents != 0 { return true }
    }
}

private func throwPendingError(of number: Int32, place: String) throws(SystemError) {
    var result: Int32 = 0
    var size = socklen_t(4)
    unsafe getsockopt(number, SOL_SOCKET, SO_ERROR, &result, &size)
    if result != 0 { throw SystemError("connect", place: place, code: Errno(rawValue: result)) }
}

func withUnixAddress<Result>(
    _ path: String,
    _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> Result
) throws(SystemError) -> Result {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    // With an empty path, or one with a zero byte, the kernel would not create the file that it names.
    guard !bytes.isEmpty, !bytes.contains(0) else { throw SystemError("use the socket path", place: path, code: .invalidArgument) }
    guard bytes.count <= SocketAddress.maximumPathBytes else {
        throw SystemError("use the socket path", place: path, code: .fileNameTooLong)
    }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    return try unsafe withUnsafePointer(to: &address) { (pointer) throws(SystemError) in
        try unsafe body(UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), socklen_t(MemoryLayout<sockaddr_un>.size))
    }
}

/// Whether a descriptor is an open, connected stream socket.
public func isConnectedStreamSocket(_ number: Int32) -> Bool {
    var type: Int32 = 0
    var size = socklen_t(4)
    guard unsafe getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &size) == 0, type == Int32(SOCK_STREAM.rawValue) else { return false }
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return unsafe withUnsafeMutablePointer(to: &storage) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getpeername(number, $0, &length) } == 0
    }
}

/// The connected stream sockets that this process has now. Call this first: then they are the ones that the process was started with.
public func openStreamSockets() -> Set<Int32> {
    Set((0..<1024 as Range<Int32>).filter(isConnectedStreamSocket))
}
