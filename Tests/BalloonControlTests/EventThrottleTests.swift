import AerostatBalloonControl
import TestSupport
import Testing

@Suite struct EventThrottleTests {
    @Test func `The first value is told at once, then one a second, and the last one is never lost`() {
        var throttle = EventThrottle<Int>(interval: .seconds(1))
        #expect(throttle.offer(1, now: .zero) == .tell)
        #expect(throttle.offer(2, now: .milliseconds(100)) == .callBack(at: .seconds(1)))
        #expect(throttle.offer(3, now: .milliseconds(900)) == .wait)
        #expect(throttle.take(now: .seconds(1)) == 3)
        #expect(throttle.take(now: .seconds(1)) == nil)
        // The interval begins anew with what was told late.
        #expect(throttle.offer(4, now: .milliseconds(1500)) == .callBack(at: .seconds(2)))
        #expect(throttle.take(now: .milliseconds(2100)) == 4)
        #expect(throttle.offer(5, now: .milliseconds(3100)) == .tell)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func `However values come, none is told within a second of another, and the last told is the last offered`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var throttle = EventThrottle<Int>(interval: .seconds(1))
        var (now, due, told, times) = (Duration.zero, Duration?.none, [Int](), [Duration]())
        func tell(_ value: Int) {
            told.append(value)
            times.append(now)
        }
        func callBack() {
            guard due.map({ $0 <= now }) ?? false else { return }
            due = nil
            throttle.take(now: now).map(tell)
        }
        for value in 0..<200 {
            now += .milliseconds(Int.random(in: 0...700, using: &random))
            callBack()
            switch throttle.offer(value, now: now) {
            case .tell: tell(value)
            case .callBack(let time): due = time
            case .wait: #expect(due != nil)
            }
        }
        now += .seconds(2)
        callBack()
        #expect(told.last == 199)
        #expect(zip(times, times.dropFirst()).allSatisfy { $1 - $0 >= .seconds(1) })
    }
}
