import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import TestSupport
import Testing

/// Links that break, peers that lie, people who change their minds: the guest runs in one place, and both sides say what happened.
@Suite(.serialized) struct BadDayTests {
    /// The number of bytes that a complete migration of this setup sends.
    private static func setup() -> Pair.Setup {
        var setup = Pair.Setup(pages: 256, writing: 4, working: 0..<200, hints: .honest, free: 200..<256)
        setup.parameters.verifies = true
        return setup
    }

    @Test func `A link cut after any byte before commit leaves the guest here, once`() throws {
        var random = SeededGenerator(seed: 42)
        let near = [0, 1, 39, 40, 41, 100, 103, 104, 105, 140, 144, 150, 200, 4096]
        var completed = 0
        for cut in near + (0..<16).map({ _ in Int.random(in: 0..<900_000, using: &random) }) {
            let pair = try Pair(Self.setup())
            let link = try ScriptedLink(toDestination: .cut(after: cut))
            try pair.startDestination(link.destinationEnd)
            try pair.startSource(link.sourceEnd)
            let outcome = pair.migration.wait()
            link.end()
            let there = pair.destinationOutcome()
            switch outcome {
            case .failed:
                expectGuestIsHere(pair, "cut after \(cut): \(outcome)")
                #expect(pair.migration.report.errorDescription != nil)
                if case .running = there { Issue.record("two owners, cut after \(cut)") }
            case .unknown: #expect(!pair.source.isRunning, "cut after \(cut)")
            case .completed:
                completed += 1
                #expect(!pair.source.isRunning && there == .running(guestRuns: true))
            case .cancelled: Issue.record("cut after \(cut): \(outcome)")
            }
            pair.end()
        }
        #expect(completed < 15, "the cuts come too late to cut anything: \(completed)")
    }

    @Test func `A destination that cannot offer what the guest requires says so before memory moves, and the guest runs on`() throws {
        var setup = Self.setup()
        setup.refusal = "no scripted guests are taken here"
        let pair = try Pair(setup)
        let outcome = try pair.run()
        #expect(outcome == .failed(.peer("no scripted guests are taken here")))
        #expect(pair.destinationOutcome() == .failed("no scripted guests are taken here"))
        #expect(pair.requirements == pair.source.requirements)
        expectGuestIsHere(pair)
        #expect(pair.source.calls.isEmpty && pair.hinting?.statistics.commands == 0)
        let hello = Hello(session: .random(), regions: pair.source.memory.regions, capabilities: [], requirements: pair.source.requirements)
        // The hello and the farewell.
        #expect(pair.migration.report.ram.transferred <= FrameHeader.byteCount * 2 + hello.encode().count + 4 + 100)
        pair.end()
    }

    @Test(arguments: [true, false])
    func `A guest that ends fails its migration, and both sides report its reason`(connected: Bool) throws {
        var setup = Self.setup()
        setup.parameters.bandwidthLimit = 200_000
        let pair = try Pair(setup)
        if connected {
            try pair.start()
            while pair.migration.report.ram.transferred < 10_000 { HostThread.sleep(for: .milliseconds(1)) }
        } else {
            // It does not even reach the destination.
            try pair.migration.start { (doorbell) throws(TransportError) in
                _ = doorbell.wait(timeout: .seconds(20))
                throw .closed
            }
        }
        pair.migration.guestEnded("it went to sleep for good")
        // A later reason does not count.
        pair.migration.cancel()
        #expect(pair.migration.wait() == .failed(.guest("it went to sleep for good")))
        #expect(pair.migration.report.status == .failed && pair.migration.report.errorDescription == "it went to sleep for good")
        if connected { #expect(pair.destinationOutcome() == .failed("the source gave up: it went to sleep for good")) }
        expectGuestIsHere(pair)
        pair.end()
    }

    @Test func `Whichever direction ends after whichever byte, at most one process runs the guest`() throws {
        // Sent toward the source: hello (96 bytes), the acknowledgement of the one round (40), ready (72), running (40).
        for cut in [0, 50, 96, 104, 136, 137, 184, 207, 208, 209, 224, 247, 248] {
            let pair = try Pair(Self.setup())
            let link = try ScriptedLink(toSource: .halfClose(after: cut))
            try pair.startDestination(link.destinationEnd)
            try pair.startSource(link.sourceEnd)
            let outcome = pair.migration.wait()
            link.end()
            let there = pair.destinationOutcome()
            if case .running = there {
                #expect(!pair.source.isRunning, "two owners after \(cut): \(outcome), \(there)")
            } else {
                if case .failed = outcome { expectGuestIsHere(pair, "cut after \(cut)") }
            }
            pair.end()
        }
    }

    @Test(arguments: [500, 40_000])
    func `A peer that stops reading is abandoned`(after: Int) throws {
        var setup = Pair.Setup(pages: 4096, hints: .honest, free: 0..<10)
        setup.limits.stall = .milliseconds(200)
        setup.limits.farewell = .milliseconds(100)
        let pair = try Pair(setup)
        let link = try ScriptedLink(toDestination: .stall(after: after))
        try pair.startDestination(link.destinationEnd)
        try pair.startSource(link.sourceEnd)
        guard case .failed(let failure) = pair.migration.wait() else {
            Issue.record("not failed")
            return
        }
        #expect("\(failure)".contains("stuck"), "\(failure)")
        expectGuestIsHere(pair)
        link.end()
        #expect({ if case .failed = pair.destinationOutcome() { true } else { false } }())
        pair.end()
    }

    /// Sent toward the source: hello (96 bytes), the acknowledgement of the one round (40), then ready.
    @Test(arguments: [136, 150])
    func `A destination that falls silent in the switch-over pauses the guest for its budget, and no longer`(after: Int) throws {
        var setup = Pair.Setup(pages: 256)
        setup.parameters.leastPauseBudget = .milliseconds(300)
        setup.parameters.downtimeLimit = .milliseconds(20)
        setup.limits.farewell = .milliseconds(100)
        let pair = try Pair(setup)
        let link = try ScriptedLink(toSource: .stall(after: after))
        try pair.startDestination(link.destinationEnd)
        let start = MonotonicClock.now()
        try pair.startSource(link.sourceEnd)
        guard case .failed(.pauseBudget(_, waitedForReady: true)) = pair.migration.wait() else {
            Issue.record("\(pair.migration.report)")
            return
        }
        #expect(start.duration(to: MonotonicClock.now()) < .seconds(20))
        #expect(pair.migration.report.errorDescription?.contains("had not said that it was ready") == true)
        #expect(try #require(pair.migration.report.downtime) >= 300)
        expectGuestIsHere(pair)
        link.end()
        if case .running = pair.destinationOutcome() { Issue.record("two owners") }
        pair.end()
    }

    @Test func `A link that fails after commit was handed over leaves the outcome unknown, whatever it has counted`() throws {
        let pair = try Pair(Pair.Setup(pages: 64))
        try pair.migration.start { (_) throws(TransportError) in ScriptedTransport(failsAfterCommit: .closed) }
        guard case .unknown = pair.migration.wait() else {
            Issue.record("\(pair.migration.report.status)")
            return
        }
        #expect(!pair.source.isRunning)
        #expect(pair.migration.report.status == .unknown)
        pair.end()
    }

    @Test(arguments: 0..<12)
    func `A cancellation at any time leaves the guest at exactly one side`(step: Int) throws {
        var setup = Pair.Setup(pages: 1024, writing: 8, working: 0..<1000, hints: .honest, free: 0..<300)
        setup.parameters.verifies = step % 2 == 0
        setup.parameters.bandwidthLimit = 64 << 20
        let pair = try Pair(setup)
        try pair.start()
        try Doorbell().wait(timeout: .milliseconds(step * 8))
        pair.migration.cancel()
        let outcome = pair.migration.wait()
        switch outcome {
        case .cancelled:
            expectGuestIsHere(pair)
            #expect(pair.migration.report.status == .cancelled)
            switch pair.destinationOutcome() {
            case .failed, .notAMigration: break
            case let other: Issue.record("\(other)")
            }
        case .completed: #expect(pair.destinationOutcome() == .running(guestRuns: true) && !pair.source.isRunning)
        default: Issue.record("\(outcome)")
        }
        pair.end()
    }

    @Test func `If the guest cannot resume when the migration backs out, the migration fails after all other steps`() throws {
        let setup = Self.setup()
        let pair = try Pair(setup)
        pair.source.refuseToResume()
        // The link ends toward the source before ready.
        let link = try ScriptedLink(toSource: .halfClose(after: 150))
        try pair.startDestination(link.destinationEnd)
        try pair.startSource(link.sourceEnd)
        let outcome = pair.migration.wait()
        guard case .failed = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(pair.migration.report.errorDescription?.contains("it does not wake up") == true)
        #expect(pair.hinting?.isOpen == false)
        link.end()
        pair.end()
    }

    @Test func `Another memory size is refused, and both say so`() throws {
        let pair = try Pair(Pair.Setup(pages: 64))
        let (a, b) = try connectedSockets()
        try pair.startDestination(b, shape: regionTable(pages: 65))
        try pair.startSource(a)
        let outcome = pair.migration.wait()
        #expect("\(outcome)".contains("260 KiB") && "\(outcome)".contains("256 KiB"), "\(outcome)")
        expectGuestIsHere(pair)
        #expect("\(pair.destinationOutcome())".contains("260 KiB"))
        pair.end()
    }

    @Test func `If nobody listens, the error names the address`() throws {
        let pair = try Pair(Pair.Setup(pages: 64))
        let address = try ListeningSocket(.tcp(host: "127.0.0.1", port: 0)).address
        try pair.migration.start(to: .socket(address))
        guard case .failed(.link(let reason)) = pair.migration.wait() else {
            Issue.record("not failed")
            return
        }
        #expect(reason.contains("\(address)"), "\(reason)")
        expectGuestIsHere(pair)
        pair.end()
    }

    @Test func `A page damaged at the destination is found before commit`() throws {
        var setup = Pair.Setup(pages: 256, filled: 0..<256)
        setup.parameters.verifies = true
        setup.parameters.bandwidthLimit = 2 << 20
        let pair = try Pair(setup)
        try pair.start()
        // Page 1 leaves early, with the first batch. The rest of the round takes some 400 ms.
        let pause = try Doorbell()
        while pair.migration.report.ram.transferred < 400_000 { pause.wait(timeout: .milliseconds(2)) }
        ScriptedGuest.scribble(try #require(pair.destination).memory, 1, with: 999)
        let outcome = pair.migration.wait()
        #expect(outcome == .failed(.verification(differences: 1, firstPage: 1)))
        #expect(pair.migration.report.verify?.differences == 1)
        expectGuestIsHere(pair)
        if case .running = pair.destinationOutcome() { Issue.record("a damaged guest runs") }
        pair.end()
    }
}
