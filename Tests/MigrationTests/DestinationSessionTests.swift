import AerostatGuestMemory
import AerostatMigration
import TestSupport
import Testing

@Suite struct DestinationSessionTests {
    private static let hello = Frame.hello(Hello(session: SessionID(high: 1, low: 1), regions: regionTable(pages: 100), capabilities: []))
    /// One frame of each kind, fit for a guest of 100 pages.
    private static let frames: [Frame] = [
        hello, .roundBegin(1), .runs([], round: 1), .roundEnd(1), .deviceState(DeviceSection(name: "a", version: 1, bytes: [])),
        .digests(DigestRun(first: PageIndex(0), digests: [1])), .switchover(sections: 0, guestRuns: true), .ready(Ready()), .commit,
        .running, .abort("why"), .progress(round: 1),
    ]

    private func kinds(acceptedAfter before: [Frame]) throws -> Set<FrameKind> {
        var accepted: Set<FrameKind> = []
        for frame in Self.frames {
            var session = DestinationSession(shape: nil)
            for frame in before { _ = try session.handle(frame) }
            do throws(StreamError) {
                _ = try session.handle(frame)
                accepted.insert(frame.kind)
            } catch {
                guard case .unexpected(frame.kind, _) = error else {
                    Issue.record("\(error)")
                    continue
                }
            }
        }
        return accepted
    }

    @Test func `Frames out of order are refused, in every state`() throws {
        #expect(try kinds(acceptedAfter: []) == [.hello, .abort])
        // Digests were not agreed.
        #expect(try kinds(acceptedAfter: [Self.hello]) == [.roundBegin, .runs, .roundEnd, .deviceState, .switchover, .abort])
        #expect(try kinds(acceptedAfter: [Self.hello, .switchover(sections: 0, guestRuns: true)]) == [.commit, .abort])
        #expect(try kinds(acceptedAfter: [Self.hello, .switchover(sections: 0, guestRuns: true), .commit]) == [])
        #expect(try kinds(acceptedAfter: [Self.hello, .abort("x")]) == [])
    }

    @Test func `What the guest requires comes with the hello; the answer requires nothing`() throws {
        let requirements = [DeviceSection(name: "wings", version: 2, bytes: [1])]
        let id = SessionID(high: 1, low: 1)
        let hello = Hello(session: id, regions: regionTable(pages: 100), capabilities: .verify, requirements: requirements)
        var session = DestinationSession(shape: nil)
        #expect(try session.handle(.hello(hello)) == [.accept(hello)])
        #expect(hello.answer == Hello(session: id, regions: regionTable(pages: 100), capabilities: .verify))
    }

    @Test func `Missing, surplus and endless device sections are refused`() throws {
        let section = Frame.deviceState(DeviceSection(name: "a", version: 1, bytes: []))
        var session = DestinationSession(shape: nil)
        _ = try session.handle(Self.hello)
        _ = try session.handle(section)
        #expect(throws: StreamError.malformed("switchover announces 2 device sections, 1 came")) {
            _ = try session.handle(.switchover(sections: 2, guestRuns: true))
        }
        for _ in 1..<DeviceSection.maximumCount { _ = try session.handle(section) }
        #expect(throws: StreamError.self) { _ = try session.handle(section) }
    }

    @Test func `Another shape is refused, and nothing comes after`() throws {
        var session = DestinationSession(shape: regionTable(pages: 99))
        guard case .refuse? = try session.handle(Self.hello).first else {
            Issue.record("accepted")
            return
        }
        #expect(!session.isGreeted)
        #expect(throws: StreamError.self) { _ = try session.handle(.commit) }
    }
}

@Suite struct ReceivedPagesTests {
    private enum Content { case data, zero, free, absent }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `Random frames give the account that a dictionary gives`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let pages = try ReceivedPages(pageCount: 300)
        // What lies in memory: true where old data lies that no clear or discard has removed.
        var holds = [Bool](repeating: false, count: 300)
        for step in 0..<2000 {
            let first = Int.random(in: 0..<300, using: &random)
            let run = PageRun(first, Int.random(in: 1...min(150, 300 - first), using: &random))
            let held = run.indices.filter { holds[$0] }
            switch Int.random(in: 0..<3, using: &random) {
            case 0:
                #expect(pages.noteData(run) == (held.count == run.count), "seed \(seed), step \(step)")
                for page in run.indices { holds[page] = true }
            case 1: #expect(pages.noteZero(run).flatMap(\.indices) == held, "seed \(seed), step \(step)")
            default:
                #expect(pages.noteFree(run).flatMap(\.indices) == held, "seed \(seed), step \(step)")
                for page in run.indices { holds[page] = false }
            }
        }
    }

    @Test func `Differences of every sort are found, and nothing else`() throws {
        var pages = try ReceivedPages(pageCount: 100)
        _ = pages.noteData(PageRun(10, 20))
        _ = pages.noteFree(PageRun(50, 10))
        // 10..<20 equal; 20 differs; 21..<25 not sent, of which 23 is not zero; 40 was never received but should be zero, 41 should not.
        pages.compare(DigestRun(first: PageIndex(10), digests: (10..<20).map(UInt64.init) + [999])) { UInt64($0.rawValue) }
        pages.compare(DigestRun(first: PageIndex(25), digests: (25..<30).map(UInt64.init))) { UInt64($0.rawValue) }
        pages.compare(DigestRun(first: PageIndex(40), digests: [PageDigest.zeroPage, 1])) { _ in
            Issue.record("read a page that does not exist")
            return 0
        }
        pages.finishComparison { $0.rawValue != 23 }
        #expect(pages.ready.differences == 3 && pages.ready.firstDifference == 20)
        #expect(pages.ready.pagesCompared == 18 && pages.ready.pagesFree == 10)
        pages.compare(DigestRun(first: PageIndex(55), digests: [PageDigest.zeroPage])) { _ in 0 }
        #expect(pages.ready.differences == 4, "free here and used there")
    }
}
