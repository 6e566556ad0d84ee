import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc
import Logging
import TestSupport
import Testing

/// Connections to an address where a migration is awaited.
@Suite(.serialized) struct VisitorTests {
    /// A destination that listens, and its log.
    private final class Waiting: Sendable {
        let address: SocketAddress
        private let doorbell: Doorbell
        private let log = Locked<[String]>([])
        private let outcome = Monitor<DestinationMigration.Outcome??>(nil)

        init(_ limits: MigrationLimits = MigrationLimits()) throws {
            let doorbell = try Doorbell()
            let listener = try IncomingListener(.socket(.tcp(host: "127.0.0.1", port: 0)), limits: limits)
            guard case .socket(let address) = listener.uri else { throw SocketError.timedOut("listen") }
            (self.address, self.doorbell) = (address, doorbell)
            let handover = Handover(listener)
            let (log, outcome) = (log, outcome)
            _ = try HostThread(name: "incoming") {
                let came = try? handover.listener.receive(
                    shape: nil,
                    doorbell: doorbell,
                    logger: Logger(label: "test") { _ in Recorder(lines: log) },
                    startsGuest: true,
                    arrived: { _, _ in }
                ) { (regions, _) throws(GuestError) in
                    do {
                        let memory = try GuestRAM(regions)
                        return try ScriptedGuest(memory, tracker: SoftwareTracker(memory), paused: true)
                    } catch { throw GuestError("\(error)") }
                }
                outcome.update { $0 = .some(came) }
            }
        }

        var lines: [String] { log.withLock { $0 } }
        func wait() -> DestinationMigration.Outcome? { outcome.wait { $0 }! }
        func end() -> DestinationMigration.Outcome? {
            doorbell.ring()
            return wait()
        }

        private final class Handover: Sendable {
            let listener: IncomingListener
            init(_ listener: consuming IncomingListener) { self.listener = listener }
        }

        private struct Recorder: LogHandler {
            let lines: Locked<[String]>
            var metadata: Logger.Metadata = [:]
            var logLevel = Logger.Level.trace
            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }
            func log(event: LogEvent) { lines.withLock { $0.append("\(event.message)") } }
        }
    }

    /// What a visitor receives that was let in: a frame, and whether the connection ended after it.
    private func hear(_ socket: borrowing OwnedDescriptor) throws -> Frame? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        var received = 0
        while received < bytes.count {
            var entry = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&entry, 1, 10_000) > 0 else { return nil }
            let count = unsafe bytes[received...].withUnsafeMutableBytes { unsafe recv(socket.number, $0.baseAddress, $0.count, 0) }
            if count <= 0 { break }
            received += count
        }
        guard received >= FrameHeader.byteCount else { return nil }
        let header = try FrameHeader(decoding: Array(bytes[..<FrameHeader.byteCount]), expecting: 0)
        return try Frame(header, body: Array(bytes[FrameHeader.byteCount..<received]), pageCount: 0)
    }

    private func migrate(_ pair: Pair, to waiting: Waiting, within limit: Duration = .seconds(8)) throws -> SourceSession.Outcome {
        let start = MonotonicClock.now()
        try pair.migration.start(to: .socket(waiting.address))
        let outcome = pair.migration.wait()
        #expect(start.duration(to: MonotonicClock.now()) < limit, "the source was kept waiting")
        return outcome
    }

    @Test(arguments: [1, 3, 40])
    func `Visitors that send nothing, or half a hello, do not delay a source`(count: Int) throws {
        let waiting = try Waiting()
        let visitors = try (0..<count).map { index in
            let socket = try connectSocket(to: waiting.address)
            if index % 2 == 1 { sendAll(Self.hello[..<60], to: socket.number) }
            return socket.release()
        }
        let pair = try Pair(Pair.Setup(pages: 64))
        #expect(try migrate(pair, to: waiting) == .completed)
        #expect(waiting.wait() == .running(guestRuns: true))
        for visitor in visitors { close(visitor) }
        pair.end()
    }

    private static let hello = Frame.hello(Hello(session: .random(), regions: regionTable(pages: 64), capabilities: [])).encode(sequence: 0)

    @Test func `A visitor that does not say hello in time is told so, and the wait continues`() throws {
        var limits = MigrationLimits()
        limits.greeting = .milliseconds(80)
        let waiting = try Waiting(limits)
        let socket = try connectSocket(to: waiting.address)
        sendAll(Self.hello[..<50], to: socket.number)
        #expect(try hear(socket) == .abort("it did not say hello within 0 s"))
        #expect(waiting.lines.filter { $0.contains("it did not say hello within 0 s; still waiting at tcp:127.0.0.1:") }.count == 1)
        let pair = try Pair(Pair.Setup(pages: 64))
        #expect(try migrate(pair, to: waiting) == .completed)
        pair.end()
    }

    @Test func `Anything but a hello is answered with the reason, and its announced body is not read`() throws {
        let waiting = try Waiting()
        let hugeBody = Self.hello.enumerated().map { (16..<20).contains($0) ? 255 : $1 }
        for (bytes, reason) in [
            (Array("GET / HTTP/1.1\r\nHost: here\r\nAccept: nothing at all\r\n\r\n".utf8), "not an Aerostat migration stream"),
            (hugeBody, "exceeds the limit"), (Frame.commit.encode(sequence: 0), "a commit frame came before the hello"),
            (Frame.runs([], round: 1).encode(sequence: 0), "a runs frame came before the hello"),
        ] {
            let socket = try connectSocket(to: waiting.address)
            sendAll(bytes[...], to: socket.number)
            guard case .abort(let heard)? = try hear(socket) else {
                Issue.record("no reason came")
                continue
            }
            #expect(heard.contains(reason), "\(heard)")
        }
        #expect(waiting.lines.count == 4 && waiting.lines.allSatisfy { $0.contains("still waiting") }, "\(waiting.lines)")
        #expect(waiting.end() == nil)
    }

    @Test func `A hello that arrives byte by byte is accepted`() throws {
        let waiting = try Waiting()
        let socket = try connectSocket(to: waiting.address)
        for index in Self.hello.indices { sendAll(Self.hello[index...index], to: socket.number) }
        var bytes = [UInt8](repeating: 0, count: FrameHeader.byteCount)
        unsafe #expect(recv(socket.number, &bytes, bytes.count, Int32(MSG_WAITALL)) == bytes.count)
        #expect(try FrameHeader(decoding: bytes, expecting: 0).kind == .hello)
        shutdown(socket.number, Int32(SHUT_RDWR))
        guard case .failed? = waiting.wait() else {
            Issue.record("the hello was not accepted")
            return
        }
    }

    @Test func `A second source is told at once that a migration is in progress, and does not disturb the first`() throws {
        let waiting = try Waiting()
        // A visitor that connected before the migration began is told too.
        let early = try connectSocket(to: waiting.address)
        var setup = Pair.Setup(pages: 256)
        setup.parameters.bandwidthLimit = 500_000
        let first = try Pair(setup)
        try first.migration.start(to: .socket(waiting.address))
        while first.migration.report.ram.transferred < 20_000, !first.migration.report.status.isOver {
            HostThread.sleep(for: .milliseconds(1))
        }
        for _ in 0..<20 {
            let second = try Pair(Pair.Setup(pages: 64))
            #expect(try migrate(second, to: waiting, within: .seconds(4)) == .failed(.peer("a migration is under way there already")))
            expectGuestIsHere(second)
            second.end()
        }
        #expect(try hear(early) == .abort("a migration is under way there already"))
        #expect(first.migration.wait() == .completed)
        #expect(waiting.wait() == .running(guestRuns: true))
        #expect(waiting.lines.filter { $0.contains("a migration is under way") }.count == 1, "\(waiting.lines)")
        first.end()
    }

    @Test func `A ring ends the wait although visitors are connected`() throws {
        let waiting = try Waiting()
        let socket = try connectSocket(to: waiting.address)
        sendAll(Self.hello[..<50], to: socket.number)
        #expect(waiting.end() == nil)
        _ = socket.number
    }
}
