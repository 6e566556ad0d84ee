/// The host's monotonic clock. The pure state machines are told the time; drivers read it here.
public enum MonotonicClock {
    public typealias Instant = ContinuousClock.Instant

    public static func now() -> Instant { ContinuousClock.now }
}

extension Duration {
    /// Whole milliseconds, rounded towards zero.
    public var wholeMilliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }

    /// Seconds as a floating-point number, for rates.
    public var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }

    /// A duration from floating-point seconds; negative or not finite becomes zero.
    public static func seconds(fromRate seconds: Double) -> Duration {
        guard seconds.isFinite, seconds > 0 else { return .zero }
        return .nanoseconds(Int64(min(seconds, 1e9) * 1e9))
    }
}
