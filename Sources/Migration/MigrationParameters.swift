/// The settings of a migration. `validate()` checks them, wherever the values came from.
public struct MigrationParameters: Hashable, Sendable {
    /// What happens if `timeout` passes before the guest is switched over.
    public enum TimeoutAction: String, CaseIterable, Hashable, Sendable, Codable {
        /// The guest stays and the migration ends as cancelled.
        case cancel
        /// The guest is paused, so that the rest converges.
        case pause
    }

    /// How long the guest may be paused at switch-over. The default is QEMU's.
    public var downtimeLimit: Duration = .milliseconds(300)
    /// Bytes a second sent while the guest runs; `nil` is unlimited. The rest that is sent while the guest is paused goes at full speed.
    public var bandwidthLimit: Int?
    /// The time limit for the whole migration up to switch-over; `nil` means no limit.
    public var timeout: Duration?
    public var onTimeout: TimeoutAction = .cancel
    /// Whether the guest is asked for free-page hints.
    public var usesHints = true
    /// The longest time for which the first round is held back for hints, including a survey before it.
    public var hintGrace: Duration = .seconds(1)
    /// Whether both sides digest every page that is not free, while the guest is paused, and compare before commit.
    public var verifies = false
    /// For an image: when the writer waits until its bytes are on the disk.
    public var imageSync = ImageSync.rounds
    /// A rest of this many pages is switched over without another round. Tests with guests of a few pages use less.
    package var smallestRestPages = RoundPlanner.smallestRestPages
    /// The least time that a switch-over may take before the guest resumes at the source. Tests use less.
    package var leastPauseBudget = PauseBudget.least
    /// How many pages with data are sent before the wait for hints, to measure the link's rate; and how many pages must be pending for that
    /// to be worth it. Tests use less.
    package var samplePages = HeadStart.samplePages
    package var smallestSampledPages = HeadStart.samplePages * 64
    /// How many pages must exist for a survey to be worth its exchange with the guest: 64 MiB.
    package var smallestSurveyedPages = 1 << 14

    public init() {}

    /// The highest downtime limit that may be set (QEMU's limit).
    public static let maximumDowntimeLimit: Duration = .seconds(2000)
    /// The highest hint grace that may be set.
    public static let maximumHintGrace: Duration = .seconds(60)
    /// The lowest bandwidth limit that may be set, in bytes a second.
    public static let minimumBandwidthLimit = 4096

    /// A value that is out of its range.
    public struct OutOfRange: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// Checks that all values are in their ranges.
    public func validate() throws(OutOfRange) {
        guard (.zero...Self.maximumDowntimeLimit).contains(downtimeLimit) else {
            throw OutOfRange(description: "downtime-limit must be from 0 to 2000000 ms")
        }
        guard (.zero...Self.maximumHintGrace).contains(hintGrace) else {
            throw OutOfRange(description: "hint-grace must be from 0 to 60000 ms")
        }
        if let bandwidthLimit, bandwidthLimit < Self.minimumBandwidthLimit {
            throw OutOfRange(description: "max-bandwidth must be at least \(Self.minimumBandwidthLimit) bytes/s, or 0 for no limit")
        }
        if let timeout, timeout <= .zero { throw OutOfRange(description: "timeout must be more than 0 ms") }
    }
}

/// When the writer of an image waits until its bytes are on the disk.
public enum ImageSync: String, CaseIterable, Hashable, Sendable, Codable {
    /// At the end of each round, so that little is left when the guest is paused; and before and after the completeness mark.
    case rounds
    /// Before and after the completeness mark only.
    case end
    /// Never. After a crash of the host the image may have its mark but lack data; its checksums then show that.
    case none
}
