import CLinux
import Glibc
import Synchronization
import SystemPackage

/// An address that the kernel accepts.
package struct ResolvedAddress: Hashable, Sendable {
    let family: Int32
    /// A `sockaddr` of the family.
    private let bytes: [UInt8]

    init(_ info: UnsafePointer<addrinfo>) {
        unsafe family = info.pointee.ai_family
        unsafe bytes = Array(UnsafeRawBufferPointer(start: info.pointee.ai_addr, count: Int(info.pointee.ai_addrlen)))
    }

    func withPointer(_ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> Void) throws(SystemError) {
        var storage = sockaddr_storage()
        precondition(bytes.count <= MemoryLayout<sockaddr_storage>.size, "an address that is larger than any")
        unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.copyBytes(from: bytes) }
        try unsafe withUnsafePointer(to: &storage) { (pointer) throws(SystemError) in
            try unsafe body(UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
    }
}

/// Turns host names into addresses without depending on how fast a name server answers.
///
/// The system's `getaddrinfo` can take minutes and cannot be cancelled. So it runs on a separate thread. If nobody waits for the answer any
/// more, that thread is left behind and ends when the resolver does. The number of such threads is limited.
package final class HostLookup: Sendable {
    package typealias Answer = Result<[ResolvedAddress], SocketError>

    static let shared = HostLookup(resolve: resolveBySystem)
    /// The most look-ups in progress, including those that nobody waits for any more.
    package static let maximumThreads = 8

    private let resolve: @Sendable (_ host: String, _ port: UInt16) -> Answer
    private let threads = Mutex(0)

    /// - Parameter resolve: finds the addresses of a name. It may block for any time.
    package init(resolve: @escaping @Sendable (_ host: String, _ port: UInt16) -> Answer) { self.resolve = resolve }

    /// The addresses of a host; at least one.
    /// - Parameters:
    ///   - host: a name or an address; the empty string stands for every address of this host.
    ///   - doorbell: ends the wait with `canceled`. The ring is not answered here; the doorbell's owner does that.
    package func addresses(
        of host: String,
        port: UInt16,
        until deadline: MonotonicClock.Instant,
        unlessRung doorbell: Doorbell? = nil
    ) throws(SocketError) -> [ResolvedAddress] {
        // A numeric address needs no name server.
        if let addresses = try? Self.resolve(host, port, flags: host.isEmpty ? AI_PASSIVE : AI_NUMERICHOST).get() { return addresses }
        let pending = try begin(host, port)
        while true {
            if let answer = pending.answer.withLock({ $0 }) { return try answer.get() }
            let left = MonotonicClock.now().duration(to: deadline)
            guard left > .zero else { throw .unknownHost(host, reason: "no name server has answered in time") }
            // `poll` ignores a negative descriptor.
            var entries = [
                pollfd(fd: pending.bell.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: doorbell?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
            ]
            _ = unsafe poll(&entries, 2, Int32(clamping: left.wholeMilliseconds + 1))
            if entries[1].revents != 0 { throw .system(SystemError("resolve the host", place: host, code: .canceled)) }
        }
    }

    /// An answer that has not arrived yet.
    private final class Pending: Sendable {
        let answer = Mutex<Answer?>(nil)
        let bell: Doorbell
        init() throws(SystemError) { bell = try Doorbell() }
    }

    private func begin(_ host: String, _ port: UInt16) throws(SocketError) -> Pending {
        let isFree = threads.withLock { count in
            guard count < Self.maximumThreads else { return false }
            count += 1
            return true
        }
        guard isFree else { throw .unknownHost(host, reason: "\(Self.maximumThreads) earlier look-ups have not ended yet") }
        do throws(SystemError) {
            let pending = try Pending()
            _ = try HostThread(name: "resolver") { [self] in
                let answer = resolve(host, port)
                threads.withLock { $0 -= 1 }
                pending.answer.withLock { $0 = answer }
                pending.bell.ring()
            }
            return pending
        } catch {
            threads.withLock { $0 -= 1 }
            throw .system(error)
        }
    }

    private static let resolveBySystem: @Sendable (String, UInt16) -> Answer = { resolve($0, $1, flags: 0) }

    private static func resolve(_ host: String, _ port: UInt16, flags: Int32) -> Answer {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_ADDRCONFIG | flags
        var list: UnsafeMutablePointer<addrinfo>?
        let code = unsafe getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &list)
        guard code == 0, let first = unsafe list else {
            return .failure(.unknownHost(host, reason: unsafe String(cString: gai_strerror(code))))
        }
        defer { unsafe freeaddrinfo(first) }
        var addresses: [ResolvedAddress] = []
        var next: UnsafeMutablePointer<addrinfo>? = unsafe first
        while let info = unsafe next {
            unsafe addresses.append(ResolvedAddress(info))
            unsafe next = unsafe info.pointee.ai_next
        }
        return .success(addresses)
    }
}

/// Tries one address after another. If none works, throws the last failure.
/// - Parameter attempt: also gets the number of addresses left, including this one.
func firstThatWorks(
    _ addresses: [ResolvedAddress],
    _ attempt: (ResolvedAddress, _ left: Int) throws(SystemError) -> OwnedDescriptor
) throws(SocketError) -> OwnedDescriptor {
    var failure = SystemError("resolve", code: .noSuchFileOrDirectory)
    for (index, address) in addresses.enumerated() {
        do throws(SystemError) { return try attempt(address, addresses.count - index) } catch {
            failure = error
            if error.code == .canceled { break }
        }
    }
    throw .system(failure)
}
