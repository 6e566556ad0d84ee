import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import TestSupport
import Testing

/// Sends a destination random bytes, and a scripted source that speaks the stream and lies.
@Suite(.serialized) struct HostilePeerTests {
    private static let regions = regionTable(pages: 64)

    private func outcome(of bytes: [UInt8], verifies: Bool = false) throws -> DestinationMigration.Outcome {
        var setup = Pair.Setup(pages: 64)
        setup.destinationLimits.farewell = .milliseconds(30)
        let pair = try Pair(setup)
        let (a, b) = try connectedSockets()
        let near = OwnedDescriptor(adopting: a)
        try pair.startDestination(b)
        sendAll(bytes[...], to: near.number)
        closeForWriting(near.number)
        let outcome = pair.destinationOutcome()
        #expect(pair.destination?.isRunning != true || outcome == .running(guestRuns: true))
        pair.end()
        return outcome
    }

    private func stream(_ frames: [Frame], payloadAfter index: Int? = nil) -> [UInt8] {
        var bytes: [UInt8] = []
        for (sequence, frame) in frames.enumerated() {
            bytes += frame.encode(sequence: UInt32(sequence))
            if sequence == index { bytes += [UInt8](repeating: 0xAB, count: GuestPage.size) }
        }
        return bytes
    }

    private static func hello(_ capabilities: Hello.Capabilities = []) -> Frame {
        .hello(Hello(session: SessionID(high: 1, low: 2), regions: regions, capabilities: capabilities))
    }

    @Test func `The scripted source makes a guest run, so the other tests fail for the right reason`() throws {
        let data = Frame.runs([RunDescriptor(.data, PageRun(5, 1))], round: 1)
        let frames = [Self.hello(), .roundBegin(1), data, .switchover(sections: 0, guestRuns: true), .commit]
        #expect(try outcome(of: stream(frames, payloadAfter: 2)) == .running(guestRuns: true))
    }

    @Test(arguments: ["GET / HTTP/1.1\r\nHost: here\r\n\r\n", "", "AERO", String(repeating: "AERO", count: 5000)]
    )
    func `Garbage is not a migration`(text: String) throws {
        guard case .notAMigration = try outcome(of: Array(text.utf8)) else {
            Issue.record("garbage was accepted as a migration")
            return
        }
    }

    @Test func `Every truncation of a stream ends in a failure that does not run the guest`() throws {
        let data = Frame.runs([RunDescriptor(.data, PageRun(5, 1))], round: 1)
        let bytes = stream([Self.hello(), data, .switchover(sections: 0, guestRuns: true), .commit], payloadAfter: 1)
        var random = SeededGenerator(seed: 9)
        for _ in 0..<25 {
            let length = Int.random(in: 0..<bytes.count, using: &random)
            switch try outcome(of: Array(bytes.prefix(length))) {
            case .notAMigration: #expect(length < 120)
            case .failed: #expect(length >= 100)
            case let other: Issue.record("\(other) after \(length) bytes")
            }
        }
    }

    @Test func `Damaged streams never run the guest and never trap`() throws {
        let bytes = stream([Self.hello(), .roundBegin(1), .roundEnd(1), .switchover(sections: 0, guestRuns: true), .commit])
        var random = SeededGenerator(seed: 10)
        for _ in 0..<25 {
            var damaged = bytes
            damaged[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0...7, using: &random)
            if case .running = try outcome(of: damaged) { Issue.record("runs") }
        }
    }

    @Test func `A commit despite differences is refused`() throws {
        let digests = Frame.digests(DigestRun(first: PageIndex(3), digests: [12345]))
        let bytes = stream([Self.hello(.verify), digests, .switchover(sections: 0, guestRuns: true), .commit])
        guard case .failed(let reason) = try outcome(of: bytes) else {
            Issue.record("a guest without its state runs")
            return
        }
        #expect(reason.contains("differs"))
    }

    @Test func `Runs outside memory and unexpected frames are refused by name`() throws {
        for (frame, word) in [
            (Frame.runs([RunDescriptor(.zero, PageRun(60, 5))], round: 1), "outside"), (.running, "running"), (.commit, "commit"),
        ] {
            guard case .failed(let reason) = try outcome(of: stream([Self.hello(), frame])) else {
                Issue.record("accepted \(frame)")
                continue
            }
            #expect(reason.contains(word), "\(reason)")
        }
    }
}
