import CLinux
import Glibc
import Synchronization
import SystemPackage

/// Where a stream socket listens or connects.
public enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// A host name or address and a port; port 0 asks the kernel for a free one.
    case tcp(host: String, port: UInt16)
    /// A path in the file system, at most `maximumPathBytes`.
    case unix(path: String)

    /// `sun_path` of unix(7), without the zero byte at its end.
    public static let maximumPathBytes = 107

    public var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "tcp:[\(host)]:\(port)" : "tcp:\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}

/// The address could not be turned into one that the kernel takes.
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

/// A listening stream socket; a unix socket's path is removed when it ends.
public struct ListeningSocket: ~Copyable, Sendable {
    /// Where it listens, with the real port.
    public let address: SocketAddress
    private let descriptor: OwnedDescriptor
    private let device: UInt
    private let inode: UInt

    public var number: Int32 { descriptor.number }

    /// Binds and listens.
    public init(_ address: SocketAddress) throws(SocketError) {
        switch address {
        case .tcp(let host, _):
            let socket = unsafe try withResolved(address) { (info: UnsafePointer<addrinfo>) throws(SystemError) in
                let socket = try newSocket(unsafe info.pointee.ai_family)
                var one: Int32 = 1
                unsafe setsockopt(socket.number, SOL_SOCKET, SO_REUSEADDR, &one, 4)
                try retryingInterrupts("listen", place: "\(address)") {
                    unsafe bind(socket.number, info.pointee.ai_addr, info.pointee.ai_addrlen)
                }
                try retryingInterrupts("listen", place: "\(address)") { listen(socket.number, 8) }
                return socket.release()
            }
            descriptor = OwnedDescriptor(adopting: socket)
            self.address = .tcp(host: host, port: localPort(of: socket))
            (device, inode) = (0, 0)
        case .unix(let path):
            let number: Int32
            do throws(SystemError) {
                let socket = try newSocket(AF_UNIX)
                try Self.removeStaleSocket(path)
                _ = unsafe try withUnixAddress(path) { (pointer, length) throws(SystemError) in
                    try retryingInterrupts("listen", place: "\(address)") { unsafe bind(socket.number, pointer, length) }
                }
                try retryingInterrupts("listen", place: "\(address)") { listen(socket.number, 8) }
                number = socket.release()
            } catch {
                throw path.utf8.count > 107 ? .pathTooLong(path) : .system(error)
            }
            descriptor = OwnedDescriptor(adopting: number)
            self.address = address
            var status = stat()
            unsafe stat(path, &status)
            (device, inode) = (status.st_dev, status.st_ino)
        }
    }

    /// The mask is the process's: one at a time may change it.
    private static let fileMask = Mutex<Void>(())

    /// The same for a unix socket that only its owner may connect to.
    public static func onlyForOwner(_ address: SocketAddress) throws(SocketError) -> ListeningSocket {
        try fileMask.withLock { _ throws(SocketError) in
            // A chmod afterwards would leave the socket open to others for a moment.
            let mask = umask(0o177)
            defer { _ = umask(mask) }
            return try ListeningSocket(address)
        }
    }

    deinit {
        guard case .unix(let path) = address else { return }
        // Only what this socket bound: somebody may have put another there since.
        var status = stat()
        if unsafe stat(path, &status) == 0, status.st_dev == device, status.st_ino == inode { unsafe unlink(path) }
    }

    /// Waits for a connection, or for the doorbell.
    /// - Returns: the connected socket; `nil` where the doorbell rang first (its ring is left for its owner to answer).
    public func accept(unlessRung doorbell: Doorbell) throws(SocketError) -> OwnedDescriptor? {
        while true {
            var entries = [
                pollfd(fd: number, events: Int16(POLLIN), revents: 0),
                pollfd(fd: doorbell.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            _ = unsafe poll(&entries, 2, -1)
            if entries[1].revents != 0 { return nil }
            guard entries[0].revents != 0 else { continue }
            let connected = aerostat_accept(number)
            if connected >= 0 {
                tune(connected)
                return OwnedDescriptor(adopting: connected)
            }
            let code = Errno(rawValue: errno)
            // A connection that was gone before it was taken is no error of the listener.
            if code == .interrupted || code == .connectionAbort { continue }
            throw .system(SystemError("accept a connection", place: "\(address)", code: code))
        }
    }

    /// A socket file that nobody listens on any more is removed; one that is alive, or any other file, stays and fails the bind.
    private static func removeStaleSocket(_ path: String) throws(SystemError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
        let probe = try newSocket(AF_UNIX)
        unsafe try withUnixAddress(path) { (pointer, length) throws(SystemError) in
            if unsafe connect(probe.number, pointer, length) < 0, errno == ECONNREFUSED { unsafe unlink(path) }
        }
    }
}

/// Connects a stream socket.
/// - Parameters:
///   - timeout: how long a silent host is waited for.
///   - doorbell: ends the waiting with `canceled`; its ring is left for its owner to answer.
public func connectSocket(
    to address: SocketAddress,
    timeout: Duration = .seconds(10),
    unlessRung doorbell: Doorbell? = nil
) throws(SocketError) -> OwnedDescriptor {
    switch address {
    case .tcp:
        let socket = unsafe try withResolved(address) { (info: UnsafePointer<addrinfo>) throws(SystemError) in
            let socket = try newSocket(unsafe info.pointee.ai_family)
            unsafe try connectWithin(
                timeout,
                doorbell,
                socket.number,
                unsafe info.pointee.ai_addr,
                unsafe info.pointee.ai_addrlen,
                place: "\(address)"
            )
            return socket.release()
        }
        tune(socket)
        return OwnedDescriptor(adopting: socket)
    case .unix(let path):
        guard path.utf8.count <= 107 else { throw .pathTooLong(path) }
        do throws(SystemError) {
            let socket = try newSocket(AF_UNIX)
            unsafe try withUnixAddress(path) { (pointer, length) throws(SystemError) in
                unsafe try connectWithin(timeout, doorbell, socket.number, unsafe pointer, length, place: "\(address)")
            }
            tune(socket.number)
            return socket
        } catch {
            throw .system(error)
        }
    }
}

/// Two stream sockets that are connected to each other, which the caller owns.
package func connectedSockets() throws(SystemError) -> (Int32, Int32) {
    var numbers: [Int32] = [-1, -1]
    try retryingInterrupts("create a pair of sockets") {
        unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &numbers)
    }
    return (numbers[0], numbers[1])
}

private func newSocket(_ family: Int32) throws(SystemError) -> OwnedDescriptor {
    OwnedDescriptor(
        adopting: try retryingInterrupts("create a socket") {
            socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        }
    )
}

private func connectWithin(
    _ timeout: Duration,
    _ doorbell: Doorbell?,
    _ number: Int32,
    _ address: UnsafePointer<sockaddr>,
    _ length: socklen_t,
    place: String
) throws(SystemError) {
    let flags = aerostat_fcntl(number, F_GETFL, 0)
    _ = aerostat_fcntl(number, F_SETFL, flags | O_NONBLOCK)
    defer { _ = aerostat_fcntl(number, F_SETFL, flags) }
    if unsafe connect(number, address, length) == 0 { return }
    let code = Errno(rawValue: errno)
    guard code == .nowInProgress || code == .interrupted else { throw SystemError("connect", place: place, code: code) }
    let deadline = MonotonicClock.now() + timeout
    while true {
        let left = MonotonicClock.now().duration(to: deadline)
        if left <= .zero { throw SystemError("connect", place: place, code: .timedOut) }
        // A negative descriptor is passed over.
        var entries = [
            pollfd(fd: number, events: Int16(POLLOUT), revents: 0),
            pollfd(fd: doorbell?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        _ = unsafe poll(&entries, 2, Int32(clamping: left.wholeMilliseconds + 1))
        if entries[1].revents != 0 { throw SystemError("connect", place: place, code: .canceled) }
        if entries[0].revents != 0 { break }
    }
    var result: Int32 = 0
    var size = socklen_t(4)
    unsafe getsockopt(number, SOL_SOCKET, SO_ERROR, &result, &size)
    if result != 0 { throw SystemError("connect", place: place, code: Errno(rawValue: result)) }
}

/// Small frames (ready, commit, running) must not wait for more; a dead peer must be noticed.
private func tune(_ number: Int32) {
    var one: Int32 = 1
    unsafe setsockopt(number, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    unsafe setsockopt(number, SOL_SOCKET, SO_KEEPALIVE, &one, 4)
}

private func localPort(of number: Int32) -> UInt16 {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return unsafe withUnsafeMutablePointer(to: &storage) { pointer in
        _ = unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(number, $0, &length) }
        // sin_port and sin6_port stand at the same offset.
        return unsafe pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { unsafe UInt16(bigEndian: $0.pointee.sin_port) }
    }
}

private func withUnixAddress<Result>(
    _ path: String,
    _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> Result
) throws(SystemError) -> Result {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    // Of neither would the kernel make the file that it names.
    guard !bytes.isEmpty, !bytes.contains(0) else { throw SystemError("use the socket path", place: path, code: .invalidArgument) }
    guard bytes.count <= SocketAddress.maximumPathBytes else {
        throw SystemError("use the socket path", place: path, code: .fileNameTooLong)
    }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    return try unsafe withUnsafePointer(to: &address) { (pointer) throws(SystemError) in
        try unsafe body(UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), socklen_t(MemoryLayout<sockaddr_un>.size))
    }
}

/// Tries each address that the name resolves to; the last failure is thrown.
private func withResolved(
    _ address: SocketAddress,
    _ body: (UnsafePointer<addrinfo>) throws(SystemError) -> Int32
) throws(SocketError) -> Int32 {
    guard case .tcp(let host, let port) = address else { preconditionFailure("only TCP names are resolved") }
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    unsafe hints.ai_flags = AI_ADDRCONFIG | (host.isEmpty ? AI_PASSIVE : 0)
    var list: UnsafeMutablePointer<addrinfo>?
    let code = unsafe getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &list)
    guard code == 0, let first = unsafe list else { throw .unknownHost(host, reason: unsafe String(cString: gai_strerror(code))) }
    defer { unsafe freeaddrinfo(first) }
    var failure: SystemError?
    var next: UnsafeMutablePointer<addrinfo>? = unsafe first
    while let info = unsafe next {
        do throws(SystemError) {
            return try unsafe body(info)
        } catch {
            failure = error
        }
        unsafe next = unsafe info.pointee.ai_next
    }
    throw .system(failure ?? SystemError("resolve", place: "\(address)", code: .noSuchFileOrDirectory))
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

/// The connected stream sockets that this process has now. Asked first of all, they are the ones that it was started with.
public func openStreamSockets() -> Set<Int32> {
    Set((0..<1024 as Range<Int32>).filter(isConnectedStreamSocket))
}
