import AerostatHost
import CLinux
import Glibc
import SystemPackage
import TestSupport
import Testing

/// Sockets of processes that are alive but busy, and hosts that lack a resource for some time.
@Suite struct BusySocketTests {
    /// A listening unix socket whose backlog is full.
    private final class BusyOwner {
        let path: String
        private let listener: OwnedDescriptor
        private var waiting: [Int32] = []

        init(_ name: String) throws {
            path = "/tmp/aerostat-test-\(getpid())-\(name)"
            unsafe unlink(path)
            listener = OwnedDescriptor(adopting: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
            let (number, path) = (listener.number, path)
            unsafe #expect(Self.withAddress(path) { unsafe bind(number, $0, $1) } == 0)
            #expect(listen(listener.number, 0) == 0)
            while true {
                let number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
                _ = aerostat_fcntl(number, F_SETFL, O_NONBLOCK)
                waiting.append(number)
                if unsafe Self.withAddress(path, { unsafe connect(number, $0, $1) }) != 0 { break }
            }
            #expect(errno == EAGAIN)
        }

        deinit {
            for number in waiting { close(number) }
            unsafe unlink(path)
        }

        /// Accepts all waiting connections.
        func makeRoom() {
            _ = aerostat_fcntl(listener.number, F_SETFL, O_NONBLOCK)
            while case let number = aerostat_accept(listener.number), number >= 0 { waiting.append(number) }
        }

        private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: Array(path.utf8)) }
            return unsafe withUnsafePointer(to: &address) { pointer in
                unsafe body(UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    @Test func `A socket with a full backlog counts as alive: it is left alone, and nobody waits for it`() throws {
        let owner = try BusyOwner("full")
        let start = MonotonicClock.now()
        do throws(SocketError) {
            _ = try ListeningSocket(.unix(path: owner.path))
            Issue.record("a living socket was taken over")
        } catch {
            #expect("\(error)".contains("in use"), "\(error)")
        }
        #expect(start.duration(to: MonotonicClock.now()) < .seconds(5))
        unsafe #expect(access(owner.path, F_OK) == 0)
    }

    @Test func `A connect to a full backlog succeeds when there is room, and gives up at the deadline or the ring`() throws {
        let owner = try BusyOwner("room")
        do throws(SocketError) {
            _ = try connectSocket(to: .unix(path: owner.path), timeout: .milliseconds(60))
            Issue.record("connected where there is no room")
        } catch { #expect("\(error)".contains("timed out"), "\(error)") }
        let doorbell = try Doorbell()
        doorbell.ring()
        do throws(SocketError) {
            _ = try connectSocket(to: .unix(path: owner.path), unlessRung: doorbell)
            Issue.record("connected where there is no room")
        } catch { #expect("\(error)".contains("canceled"), "\(error)") }
        let path = owner.path
        let connected = Monitor(false)
        _ = try HostThread(name: "visitor") {
            let socket = try? connectSocket(to: .unix(path: path))
            if socket != nil { connected.update { $0 = true } }
        }
        HostThread.sleep(for: .milliseconds(30))
        owner.makeRoom()
        #expect(connected.wait(until: MonotonicClock.now() + .seconds(10)) { $0 ? true : nil } == true)
    }

    static let passing: [Int32] = [
        EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENONET, ENOPROTOOPT, EOPNOTSUPP, EPERM,
        ETIMEDOUT,
    ]

    @Test(arguments: passing)
    func `Temporary failures do not end the listening, and are reported once`(code: Int32) throws {
        let listener = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0))
        let visitor = try connectSocket(to: listener.address)
        var failures = 2
        var complaints: [SystemError] = []
        let connection = try listener.accept(unlessRung: try Doorbell(), complain: { complaints.append($0) }) { number in
            failures -= 1
            if failures < 0 { return aerostat_accept(number) }
            errno = code
            return -1
        }
        if connection == nil { Issue.record("nobody was accepted") }
        #expect(complaints.map(\.code.rawValue) == [code])
        #expect("\(complaints)".contains("could not accept a connection"))
        _ = visitor.number
    }

    @Test func `A ring ends the pause after a failed accept`() throws {
        let listener = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0))
        let visitor = try connectSocket(to: listener.address)
        let doorbell = try Doorbell()
        let connection = try listener.accept(unlessRung: doorbell, complain: { _ in doorbell.ring() }) { _ in
            errno = EMFILE
            return -1
        }
        if connection != nil { Issue.record("accepted") }
        _ = visitor.number
    }

    @Test(arguments: [EBADF, EINVAL, ENOTSOCK])
    func `A socket that no longer listens is an error`(code: Int32) throws {
        let listener = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0))
        let visitor = try connectSocket(to: listener.address)
        var error: SocketError?
        do throws(SocketError) {
            _ = try listener.accept(unlessRung: try! Doorbell(), complain: { _ in }) { _ in
                errno = code
                return -1
            }
        } catch let thrown { error = thrown }
        #expect(error != nil)
        _ = visitor.number
    }

    @Test func `An idle TCP link is probed at both ends, and abandoned after 13 s without an answer`() throws {
        let listener = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0))
        let near = try connectSocket(to: listener.address)
        guard let far = try listener.accept(unlessRung: try Doorbell()) else {
            Issue.record("nobody was accepted")
            return
        }
        for number in [near.number, far.number] {
            #expect(option(number, SOL_SOCKET, SO_KEEPALIVE) == 1)
            let tcp = Int32(IPPROTO_TCP)
            let probing = option(number, tcp, TCP_KEEPIDLE) + option(number, tcp, TCP_KEEPINTVL) * option(number, tcp, TCP_KEEPCNT)
            #expect(probing == 13)
            #expect(PeerLiveness.limit == .seconds(13))
            // Linux would count the time for which a living host has no room.
            #expect(option(number, tcp, TCP_USER_TIMEOUT) == 0)
            #expect(option(number, tcp, TCP_NODELAY) == 1)
        }
        _ = (near.number, far.number)
    }

    private func option(_ number: Int32, _ level: Int32, _ name: Int32) -> Int32 {
        var (value, size) = (Int32(-1), socklen_t(4))
        unsafe #expect(getsockopt(number, level, name, &value, &size) == 0)
        return value
    }
}
