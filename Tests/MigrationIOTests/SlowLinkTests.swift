import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc
import TestSupport
import Testing

/// Slow is not dead: limits count from the last byte that moved, and a side that gives up says why.
@Suite(.serialized) struct SlowLinkTests {
    /// 2 MiB in one frame, and limits that are short compared with the time that it takes.
    private static func setup() -> Pair.Setup {
        var setup = Pair.Setup(pages: 512)
        for path in [\Pair.Setup.limits, \Pair.Setup.destinationLimits] {
            setup[keyPath: path].stall = .milliseconds(500)
            setup[keyPath: path].silence = .milliseconds(500)
            setup[keyPath: path].ready = .milliseconds(500)
            setup[keyPath: path].heartbeat = .milliseconds(50)
        }
        return setup
    }

    @Test(arguments: [ScriptedLink.Fate.slow(bytesPerSecond: 1 << 20), .tunnel(bytesPerSecond: 1 << 20)]
    )
    func `A link on which one frame takes longer than every limit carries the guest over`(fate: ScriptedLink.Fate) throws {
        let pair = try Pair(Self.setup())
        let link = try ScriptedLink(toDestination: fate)
        try pair.startDestination(link.destinationEnd)
        try pair.startSource(link.sourceEnd)
        #expect(pair.migration.wait() == .completed)
        #expect(pair.destinationOutcome() == .running(guestRuns: true))
        #expect(pair.migration.report.totalTime > 1000, "the link was not slow")
        #expect(try pair.differences() == [])
        link.end()
        pair.end()
    }

    @Test func `Bytes are counted as they move, not when their frame is whole`() throws {
        let pair = try Pair(Self.setup())
        let link = try ScriptedLink(toDestination: .slow(bytesPerSecond: 1 << 20))
        try pair.startDestination(link.destinationEnd)
        try pair.startSource(link.sourceEnd)
        var seen: Set<Int> = []
        while !pair.migration.report.status.isOver {
            seen.insert(pair.migration.report.ram.transferred)
            HostThread.sleep(for: .milliseconds(5))
        }
        #expect(seen.filter { (100_000..<2_000_000).contains($0) }.count > 3, "\(seen.sorted())")
        _ = pair.migration.wait()
        link.end()
        pair.end()
    }

    @Test func `A destination that gives up because nothing arrives says so, and the source repeats it`() throws {
        var setup = Pair.Setup(pages: 4096)
        setup.destinationLimits.stall = .milliseconds(100)
        let pair = try Pair(setup)
        let link = try ScriptedLink(toDestination: .stall(after: 40_000))
        try pair.startDestination(link.destinationEnd)
        try pair.startSource(link.sourceEnd)
        #expect(pair.migration.wait() == .failed(.peer("the link is stuck: nothing moved for 0 s")))
        #expect(pair.migration.report.errorDescription == "the destination gave up: the link is stuck: nothing moved for 0 s")
        expectGuestIsHere(pair)
        link.end()
        #expect(pair.destinationOutcome() == .failed("the link is stuck: nothing moved for 0 s"))
        pair.end()
    }

    @Test func `A destination that never acknowledges a round is abandoned when nothing has moved for a while`() throws {
        var setup = Self.setup()
        setup.pages = 64
        setup.limits.farewell = .milliseconds(50)
        let pair = try Pair(setup)
        // The hello is 96 bytes.
        let link = try ScriptedLink(toSource: .stall(after: 96))
        try pair.startDestination(link.destinationEnd)
        try pair.startSource(link.sourceEnd)
        #expect("\(pair.migration.wait())".contains("did not acknowledge round 1: nothing moved for 0 s"))
        expectGuestIsHere(pair)
        link.end()
        _ = pair.destinationOutcome()
        pair.end()
    }

    @Test func `A migration that cannot reach its destination reports its total time`() throws {
        let pair = try Pair(Pair.Setup(pages: 64))
        try pair.migration.start { (doorbell) throws(TransportError) in
            doorbell.wait(timeout: .milliseconds(30))
            throw .system(operation: "reach the destination", reason: "it never answers")
        }
        #expect("\(pair.migration.wait())".contains("it never answers"))
        #expect((30..<20_000).contains(pair.migration.report.totalTime), "\(pair.migration.report.totalTime) ms")
        pair.end()
    }

    @Test func `A host that has acknowledged nothing of what is on its way for 13 s has vanished`() throws {
        #expect(try secondsUntilVanished { _ in .init(isAwaitingAcknowledgement: true, duration: .seconds(60)) } == 13)
        #expect(try secondsUntilVanished { .init(isAwaitingAcknowledgement: true, duration: .seconds(max(0, $0 - 20))) } == 33)
        // Data has only been on its way for a short time.
        #expect(try secondsUntilVanished { .init(isAwaitingAcknowledgement: $0 >= 7, duration: .seconds($0)) } == 20)
    }

    @Test func `A host that answers, has no room or has nothing to answer is not taken for one that has vanished`() throws {
        #expect(try secondsUntilVanished { _ in .init(isAwaitingAcknowledgement: true, duration: .seconds(5)) } == nil)
        #expect(try secondsUntilVanished { _ in .init(isAwaitingAcknowledgement: false, duration: .seconds(60)) } == nil)
        #expect(try secondsUntilVanished { .init(isAwaitingAcknowledgement: $0 % 4 != 0, duration: .seconds(60)) } == nil)
        #expect(try secondsUntilVanished { _ in nil } == nil)
    }

    /// - Returns: `nil` if it is not reported within two minutes.
    private func secondsUntilVanished(_ silence: (Int) -> PeerSilence?) throws -> Int? {
        let start = MonotonicClock.now()
        var host = VanishedHost(now: start)
        for second in 0..<120 {
            do throws(TransportError) { try host.look(start + .seconds(second)) { silence(second) } } catch {
                #expect("\(error)".contains("nothing that was sent has been acknowledged for 13 s"))
                return second
            }
        }
        return nil
    }

    @Test func `The kernel distinguishes data without acknowledgement from data without room`() throws {
        let listener = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0))
        let near = try connectSocket(to: listener.address)
        guard let far = try listener.accept(unlessRung: try Doorbell()) else {
            Issue.record("nobody was accepted")
            return
        }
        // Until the other side's kernel has no room, and this one has none either.
        let bytes = [UInt8](repeating: 7, count: 1 << 20)
        while unsafe send(near.number, bytes, bytes.count, Int32(MSG_DONTWAIT)) > 0 {}
        let held = heldBytes(of: near.number)
        #expect(held > 0)
        let deadline = MonotonicClock.now() + .seconds(10)
        while PeerSilence(of: near.number)?.isAwaitingAcknowledgement == true, MonotonicClock.now() < deadline {
            HostThread.sleep(for: .milliseconds(1))
        }
        #expect(PeerSilence(of: near.number)?.isAwaitingAcknowledgement == false)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        unsafe #expect(recv(far.number, &buffer, buffer.count, Int32(MSG_WAITALL)) == buffer.count)
        while heldBytes(of: near.number) == held, MonotonicClock.now() < deadline { HostThread.sleep(for: .milliseconds(1)) }
        #expect(heldBytes(of: near.number) < held)
        let (a, b) = try connectedSockets()
        #expect(PeerSilence(of: a) == nil)
        close(a)
        close(b)
        _ = (near.number, far.number)
    }
}
