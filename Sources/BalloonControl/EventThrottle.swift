/// Lets one value through in each interval, and never loses the last one: QEMU's rule for BALLOON_CHANGE. It uses no clock and no timer
/// itself.
public struct EventThrottle<Value: Hashable & Sendable>: Sendable {
    /// What to do with a value that was offered.
    public enum Decision: Hashable, Sendable {
        /// Send it now.
        case tell
        /// Call `take` at this time.
        case callBack(at: Duration)
        /// A call is already due. It will return this value.
        case wait
    }

    private let interval: Duration
    private var lastTold: Duration?
    private var waiting: Value?

    /// - Parameter interval: the least time between two values.
    public init(interval: Duration) { self.interval = interval }

    /// Offers a new value.
    /// - Parameter now: the time on any clock that does not go back.
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

    /// To be called at the time that `callBack` named.
    /// - Returns: the last value that was offered; `nil` if none waits.
    public mutating func take(now: Duration) -> Value? {
        guard let value = waiting else { return nil }
        waiting = nil
        lastTold = now
        return value
    }
}
