/// What a person may set for a migration. Checked by `validate()`, wherever the values came from.
public struct MigrationParameters: Hashable, Sendable {
    /// What happens when `timeout` passes before the guest was switched over.
    public enum TimeoutAction: String, CaseIterable, Hashable, Sendable, Codable {
        /// The guest stays and the migration ends as cancelled.
        case cancel
        /// The guest is paused, so that the rest converges.
        case pause
    }

    /// How long the guest may be paused at switch-over. QEMU's default.
    public var downtimeLimit: Duration = .milliseconds(300)
    /// Bytes a second put on the link while the guest runs; `nil` is unlimited. The paused rest is sent at full speed.
    public var bandwidthLimit: Int?
    /// For the whole migration up to switch-over; `nil` waits as long as it takes.
    public var timeout: Duration?
    public var onTimeout: TimeoutAction = .cancel
    /// Whether the guest is asked for free-page hints.
    public var usesHints = true
    /// The longest that the first round is held back for hints, a survey before it included.
    public var hintGrace: Duration = .seconds(1)
    /// Both sides digest every page that is not free, while paused, and compare before commit.
    public var verifies = false
    /// For an image: when its bytes are waited for until they are on the disk.
    public var imageSync = ImageSync.rounds
    /// A rest that is switched over without another round. Less, for guests of a few pages in tests.
    package var smallestRestPages = RoundPlanner.smallestRestPages
    /// The least time that a switch-over is given before the guest goes on at the source. Less in tests.
    package var leastPauseBudget = PauseBudget.least
    /// How many pages with data are sent, before hints are waited for, to learn the link's rate; and the least that must be pending for
    /// that. Less in tests.
    package var samplePages = HeadStart.samplePages
    package var smallestSampledPages = HeadStart.samplePages * 64
    /// The least that must exist for a survey to be worth its few words with the guest: 64 MiB.
    package var smallestSurveyedPages = 1 << 14

    public init() {}

    /// The longest downtime that may be asked for (QEMU's limit).
    public static let maximumDowntimeLimit: Duration = .seconds(2000)
    /// The longest that the first round may be held back.
    public static let maximumHintGrace: Duration = .seconds(60)
    /// The lowest bandwidth limit, bytes a second.
    public static let minimumBandwidthLimit = 4096

    /// A value that may not be asked for.
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
    /// At the end of each round, so that little is left when the guest stands still; and before and after the completeness mark.
    case rounds
    /// Before and after the completeness mark only.
    case end
    /// Never: after a crash of the host the image may have its mark and lack its data, which its checksums then tell.
    case none
}
