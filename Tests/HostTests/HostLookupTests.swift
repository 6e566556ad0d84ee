import AerostatHost
import SystemPackage
import TestSupport
import Testing

/// Name servers that do not answer.
@Suite struct HostLookupTests {
    /// A resolver that answers when the test allows it.
    private final class SilentResolver: Sendable {
        private let isReleased = Monitor(false)
        private let ended = Monitor(0)

        func answer() -> HostLookup.Answer {
            _ = isReleased.wait { $0 ? true : nil }
            ended.update { $0 += 1 }
            return .failure(.unknownHost("slow.example", reason: "it answers late"))
        }

        func release() { isReleased.update { $0 = true } }
        func wait(forAnswers count: Int) { _ = ended.wait { $0 == count ? true : nil } }
    }

    private func failure(
        _ lookup: HostLookup,
        within limit: Duration,
        unlessRung doorbell: Doorbell? = nil
    ) -> SocketError? {
        do throws(SocketError) {
            _ = try lookup.addresses(of: "slow.example", port: 1, until: MonotonicClock.now() + limit, unlessRung: doorbell)
            return nil
        } catch { return error }
    }

    @Test func `The wait for a silent name server ends at the deadline`() throws {
        let resolver = SilentResolver()
        let lookup = HostLookup { _, _ in resolver.answer() }
        let start = MonotonicClock.now()
        let error = failure(lookup, within: .milliseconds(30))
        #expect(start.duration(to: MonotonicClock.now()) < .seconds(5))
        #expect("\(error as Any)".contains("no name server has answered in time"), "\(error as Any)")
        resolver.release()
    }

    @Test func `A ring ends the wait for a name server, and is left for its owner`() throws {
        let resolver = SilentResolver()
        let lookup = HostLookup { _, _ in resolver.answer() }
        let doorbell = try Doorbell()
        doorbell.ring()
        guard case .system(let error)? = failure(lookup, within: .seconds(60), unlessRung: doorbell) else {
            Issue.record("the look-up went on")
            return
        }
        #expect(error.code == .canceled)
        #expect(doorbell.answer())
        resolver.release()
    }

    @Test func `The number of abandoned look-ups is limited, and they make room when they end`() throws {
        let resolver = SilentResolver()
        let lookup = HostLookup { _, _ in resolver.answer() }
        for _ in 0..<HostLookup.maximumThreads { _ = failure(lookup, within: .milliseconds(1)) }
        #expect("\(failure(lookup, within: .seconds(60)) as Any)".contains("8 earlier look-ups have not ended yet"))
        resolver.release()
        resolver.wait(forAnswers: HostLookup.maximumThreads)
        let deadline = MonotonicClock.now() + .seconds(10)
        var error = failure(lookup, within: .seconds(60))
        while "\(error as Any)".contains("earlier look-ups"), MonotonicClock.now() < deadline {
            error = failure(lookup, within: .seconds(60))
        }
        #expect("\(error as Any)".contains("it answers late"))
    }

    @Test(arguments: ["127.0.0.1", ""])
    func `A numeric address needs no name server`(host: String) throws {
        let lookup = HostLookup { _, _ in
            Issue.record("a name server was asked")
            return .success([])
        }
        #expect(try !lookup.addresses(of: host, port: 7, until: MonotonicClock.now() + .seconds(10)).isEmpty)
    }
}
