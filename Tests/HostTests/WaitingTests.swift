import AerostatHost
import TestSupport
import Testing

@Suite struct WaitingTests {
    private func seconds(_ body: () -> Void) -> Double {
        let start = MonotonicClock.now()
        body()
        return start.duration(to: MonotonicClock.now()).inSeconds
    }

    @Test func `Rings are counted as one, kept, and taken once`() throws {
        let bell = try Doorbell()
        #expect(!bell.answer())
        bell.ring()
        bell.ring()
        #expect(bell.wait(timeout: .zero))
        #expect(!bell.answer())
        let waited = seconds { #expect(!bell.wait(timeout: .milliseconds(20))) }
        #expect((0.02..<0.5).contains(waited))
    }

    @Test func `A sleeper wakes at the ring`() throws {
        let bell = try Doorbell()
        let back = try Doorbell()
        let thread = try HostThread(name: "sleeper") {
            for _ in 0..<200 {
                bell.wait()
                back.ring()
            }
        }
        for step in 0..<200 {
            bell.ring()
            try #require(back.wait(timeout: .seconds(5)), "lost ring \(step)")
        }
        thread.join()
    }

    @Test func `A monitor's deadline passes, and an update comes before it`() throws {
        let monitor = Monitor(0)
        let waited = seconds { #expect(monitor.wait(until: MonotonicClock.now() + .milliseconds(30)) { $0 > 0 ? true : nil } == nil) }
        #expect((0.03..<0.5).contains(waited))
        #expect(monitor.wait(until: MonotonicClock.now() - .seconds(1)) { $0 == 0 ? 7 : nil } == 7)
        let thread = try HostThread(name: "a name longer than fifteen bytes") { monitor.update { $0 = 5 } }
        #expect(monitor.wait(until: MonotonicClock.now() + .seconds(10)) { $0 > 0 ? $0 : nil } == 5)
        thread.join()
    }

    @Test func `Two threads hand a ball back and forth without losing it`() throws {
        let ball = Monitor(0)
        let thread = try HostThread(name: "pong") {
            for turn in 0..<500 {
                _ = ball.wait { $0 == 2 * turn + 1 ? true : nil }
                ball.update { $0 += 1 }
            }
        }
        for turn in 0..<500 {
            ball.update { $0 += 1 }
            try #require(ball.wait(until: MonotonicClock.now() + .seconds(5)) { $0 == 2 * turn + 2 ? true : nil } == true, "turn \(turn)")
        }
        thread.join()
    }

    @Test(arguments: [Double.nan, .infinity, -1, 0, 1e30])
    func `Rates become durations without trapping`(rate: Double) {
        #expect(Duration.seconds(fromRate: rate) <= .seconds(1_000_000_000))
    }
}
