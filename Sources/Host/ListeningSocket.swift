import CLinux
import Glibc
import Synchronization
import SystemPackage

/// A listening stream socket. When it ends, a unix socket's path is removed.
public struct ListeningSocket: ~Copyable, Sendable {
    /// The address that it listens at, with the real port.
    public let address: SocketAddress
    private let descriptor: OwnedDescriptor
    private let device: UInt
    private let inode: UInt

    /// The descriptor's number. This object owns it.
    public var number: Int32 { descriptor.number }

    /// How long resolving the name of the listening address may take.
    private static let resolvingLimit: Duration = .seconds(10)
    /// How many connections the kernel holds before they are accepted.
    private static let backlog: Int32 = 128

    /// Binds and listens.
    public init(_ address: SocketAddress) throws(SocketError) {
        switch address {
        case .tcp(let host, let port):
            let addresses = try HostLookup.shared.addresses(of: host, port: port, until: MonotonicClock.now() + Self.resolvingLimit)
            descriptor = try firstThatWorks(addresses) { (candidate, _) throws(SystemError) in
                let socket = try newSocket(candidate.family)
                var one: Int32 = 1
                unsafe setsockopt(socket.number, SOL_SOCKET, SO_REUSEADDR, &one, 4)
                unsafe try candidate.withPointer { (pointer, length) throws(SystemError) in
                    try retryingInterrupts("listen", place: "\(address)") { unsafe bind(socket.number, pointer, length) }
                }
                try Self.listen(socket.number, address)
                return socket
            }
            self.address = .tcp(host: host, port: localPort(of: descriptor.number))
            (device, inode) = (0, 0)
        case .unix(let path):
            do throws(SystemError) {
                let socket = try newSocket(AF_UNIX)
                try Self.removeStaleSocket(path)
                unsafe try withUnixAddress(path) { (pointer, length) throws(SystemError) in
                    _ = try retryingInterrupts("listen", place: "\(address)") { unsafe bind(socket.number, pointer, length) }
                }
                try Self.listen(socket.number, address)
                descriptor = socket
            } catch {
                throw path.utf8.count > 107 ? .pathTooLong(path) : .system(error)
            }
            self.address = address
            var status = stat()
            unsafe stat(path, &status)
            (device, inode) = (status.st_dev, status.st_ino)
        }
    }

    private static func listen(_ number: Int32, _ address: SocketAddress) throws(SystemError) {
        try retryingInterrupts("listen", place: "\(address)") { Glibc.listen(number, backlog) }
        // Callers poll before they accept, and must not block if the connection has gone in the meantime.
        setBlocking(number, false)
    }

    /// The mask belongs to the process, so only one thread at a time may change it.
    private static let fileMask = Mutex<Void>(())

    /// Creates a unix socket that only its owner may connect to.
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
        // Remove only what this socket bound. Somebody may have put another file there since.
        var status = stat()
        if unsafe stat(path, &status) == 0, status.st_dev == device, status.st_ino == inode { unsafe unlink(path) }
    }

    /// Removes a socket file that nobody listens on any more. A live socket, or any other file, stays and makes the bind fail.
    private static func removeStaleSocket(_ path: String) throws(SystemError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
        let probe = try newSocket(AF_UNIX)
        // A live socket with a full backlog answers EAGAIN. A blocking probe would wait for it.
        setBlocking(probe.number, false)
        unsafe try withUnixAddress(path) { (pointer, length) throws(SystemError) in
            if unsafe connect(probe.number, pointer, length) < 0, errno == ECONNREFUSED { unsafe unlink(path) }
        }
    }
}

// MARK: Accepting

extension ListeningSocket {
    /// How long nothing is accepted after `accept` failed. Trying more often does not make the missing resource (descriptors, memory)
    /// available.
    package static let pauseAfterFailure: Duration = .milliseconds(100)

    /// The result of a non-blocking accept.
    package enum Taken: ~Copyable {
        case connection(OwnedDescriptor)
        case nobody
        /// Not possible now. The socket continues to listen.
        case failed(SystemError)
    }

    /// Waits for a connection, or for the doorbell.
    /// - Parameter complain: called with the reason why no connection can be accepted, once for each series of failures. The wait
    ///   continues.
    /// - Returns: the connected socket; `nil` if the doorbell rang first. The ring is not answered here; the doorbell's owner does that.
    /// - Throws: if the socket itself no longer works.
    public func accept(
        unlessRung doorbell: Doorbell,
        complain: (SystemError) -> Void = { _ in }
    ) throws(SocketError) -> OwnedDescriptor? {
        try accept(unlessRung: doorbell, complain: complain, by: aerostat_accept)
    }

    /// Accepts with a replacement for `accept(2)`, to test its failures.
    package func accept(
        unlessRung doorbell: Doorbell,
        complain: (SystemError) -> Void,
        by accepting: (Int32) -> Int32
    ) throws(SocketError) -> OwnedDescriptor? {
        var hasComplained = false
        while true {
            // After a failure the socket stays ready, so poll only the doorbell for a while.
            var entries = [
                pollfd(fd: hasComplained ? -1 : number, events: Int16(POLLIN), revents: 0),
                pollfd(fd: doorbell.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            _ = unsafe poll(&entries, 2, hasComplained ? Int32(Self.pauseAfterFailure.wholeMilliseconds) : -1)
            if entries[1].revents != 0 { return nil }
            switch try acceptNow(by: accepting) {
            case .connection(let connection): return connection
            case .nobody: hasComplained = false
            case .failed(let error):
                if !hasComplained { complain(error) }
                hasComplained = true
            }
        }
    }

    /// Accepts a waiting connection. Never waits.
    package func acceptNow() throws(SocketError) -> Taken { try acceptNow(by: aerostat_accept) }

    private func acceptNow(by accepting: (Int32) -> Int32) throws(SocketError) -> Taken {
        while true {
            let connected = accepting(number)
            if connected >= 0 {
                noticeDeadPeer(of: connected)
                return .connection(OwnedDescriptor(adopting: connected))
            }
            let code = Errno(rawValue: errno)
            switch code {
            // A connection that ended before it was accepted is not an error of the listener.
            case .interrupted, .connectionAbort: continue
            case .resourceTemporarilyUnavailable: return .nobody
            // These are errors of the listening socket. All others concern one connection, whose network error Linux reports here
            // (accept(2)), or a resource that this process or host lacks at the moment. Those are temporary.
            case .badFileDescriptor, .invalidArgument, .notSocket, .badAddress:
                throw .system(SystemError("accept a connection", place: "\(address)", code: code))
            default: return .failed(SystemError("accept a connection", place: "\(address)", code: code))
            }
        }
    }
}

private func localPort(of number: Int32) -> UInt16 {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return unsafe withUnsafeMutablePointer(to: &storage) { pointer in
        _ = unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(number, $0, &length) }
        // sin_port and sin6_port are at the same offset.
        return unsafe pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { unsafe UInt16(bigEndian: $0.pointee.sin_port) }
    }
}
