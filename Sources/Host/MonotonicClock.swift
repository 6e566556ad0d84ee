import CLinux
import FoundationEssentials
import Glibc

/// The host's monotonic clock. Drivers read it here; the pure state machines get the time as an argument.
public enum MonotonicClock {
    /// A moment of this clock.
    public typealias Instant = ContinuousClock.Instant

    /// The present moment.
    public static func now() -> Instant { ContinuousClock.now }
}

/// The time of day, for people. It may jump.
public enum WallClock {
    /// Milliseconds since 1970.
    public static func milliseconds() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    }

    /// 9999-12-31T23:59:59.999Z
    private static let lastOfFourDigitYears: UInt64 = 253_402_300_799_999

    /// "2026-11-21T06:02:35Z"
    /// - Parameter milliseconds: since 1970.
    /// - Returns: `nil` after the year 9999, which this format cannot express.
    public static func iso8601(_ milliseconds: UInt64) -> String? {
        guard milliseconds <= lastOfFourDigitYears else { return nil }
        return Date(timeIntervalSince1970: Double(milliseconds / 1000)).formatted(.iso8601)
    }
}

/// Processor time of the calling thread: only its own work, without the time in which another thread used its core.
public enum ThreadClock {
    /// The processor time that the calling thread has used so far.
    public static func now() -> Duration {
        var time = timespec()
        unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec))
    }
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

    /// A duration from floating-point seconds. Negative and non-finite values become zero.
    public static func seconds(fromRate seconds: Double) -> Duration {
        guard seconds.isFinite, seconds > 0 else { return .zero }
        return .nanoseconds(Int64(min(seconds, 1e9) * 1e9))
    }
}
