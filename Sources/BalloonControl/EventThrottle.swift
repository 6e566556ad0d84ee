/// Lets one value through in each interval, and never loses the last one: QEMU's rule for BALLOON_CHANGE. It knows no clock and no timer.
public struct EventThrottle<Value: Hashable & Sendable>: Sendable {
    /// What to do with a value that was offered.
    public enum Decision: Hashable, Sendable {
        /// Tell it now.
        case tell
        /// Call `take` at this time.
        case callBack(at: Duration)
        /// A call is due already; it takes this value along.
        case wait
    }

    private let interval: Duration
    private var lastTold: Duration?
    private var waiting: Value?

    /// - Parameter interval: the least time between two values.
    public init(interval: Duration) { self.interval = interval }

    /// A new value.
    /// - Parameter now: of any clock that does not go back.
    public mutating func offer(_ value: Value, now: Duration) -> Decision {
        if waiting != nil {
            waiting = value
            return .wait
        }
        guard let lastTold, now < lastTold + interval else {
            lastTold = now
            return .tell
        }
        waiting = value
        return .callBack(at: lastTold + interval)
    }

    /// The call that was asked for.
    /// - Returns: the last value that was offered; `nil` if none waits.
    public mutating func take(now: Duration) -> Value? {
        guard let value = waiting else { return nil }
        waiting = nil
        lastTold = now
        return value
    }
}
