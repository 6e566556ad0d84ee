public import AerostatGuestMemory

/// The id of one free-page-hint command (virtio specification 5.5.6.6): 0 and 1 are the words STOP and DONE.
public struct CommandID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// VIRTIO_BALLOON_CMD_ID_STOP
    public static let stop = CommandID(rawValue: 0)
    /// VIRTIO_BALLOON_CMD_ID_DONE
    public static let done = CommandID(rawValue: 1)
    /// The smallest id of a command.
    public static let minimum = CommandID(rawValue: 2)

    /// The id after this one; wraps from 2^32 - 1 to the minimum.
    public var successor: CommandID {
        rawValue == .max || rawValue < Self.minimum.rawValue ? .minimum : CommandID(rawValue: rawValue + 1)
    }

    public var description: String {
        switch self {
        case .stop: "STOP"
        case .done: "DONE"
        default: "0x" + String(rawValue, radix: 16)
        }
    }
}

/// The device that asks the guest for hints, as the engine sees it.
///
/// The device calls the sink from its own thread while a command is open. All three calls return only when no hint is in the
/// middle of being applied, and from then on the old command's hints are dead.
public protocol FreePageHinting: AnyObject, Sendable {
    /// Whether the guest's driver negotiated hints and is running.
    var isAvailable: Bool { get }

    /// Whether the guest fills memory that it frees: then it has nothing to clear when it allocates it.
    var fillsFreedPages: Bool { get }

    /// Opens a command with a fresh id and tells the guest. The tracker must be armed before (rule "arm before asking"), unless the sink
    /// takes no page out of anything.
    func begin(reportingTo sink: any HintSink) -> CommandID

    /// Closes the command; the guest keeps the blocks that it holds. Does nothing where none is open.
    func stop()

    /// Closes the command and tells the guest to take its blocks back. Needs no running guest: the message waits for it.
    /// - Parameter heard: called once, when the guest has heard it, and never where it does not listen. Perhaps under the device's lock: it
    ///   must only wake somebody. A command that is opened moments later can get the same blocks again. (Linux's driver that hears it in
    ///   the middle of a round gives them back right behind the round, but reads the word once more before.)
    func done(heard: (@Sendable () -> Void)?)

    /// What the device saw since the first command of this migration (cumulative since `resetStatistics`).
    var statistics: HintStatistics { get }
    func resetStatistics()

    /// What the device's other queues did.
    var balloonFigures: BalloonFigures { get }
}

extension FreePageHinting {
    /// Closes the command; nobody waits until the guest has heard it.
    public func done() { done(heard: nil) }

    /// A device that only asks for hints.
    public var balloonFigures: BalloonFigures { BalloonFigures() }
}

/// Where the device's hint thread delivers. Implemented by the page ledger and the survey; the simulator and tests have their own.
public protocol HintSink: AnyObject, Sendable {
    /// A command is about to be published. Blocks under this id count from now on.
    func hintsOpened(_ id: CommandID)

    /// The guest has begun to answer the command.
    func hintsStarted(_ id: CommandID)

    /// A block that was free when, or after, the command was issued. Guest-physical, not yet checked against RAM.
    /// - Returns: what became of it.
    func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome

    /// The guest has reported all it had, or was told to stop.
    func hintsStopped(_ id: CommandID)
}

/// What became of one hinted block.
public enum HintOutcome: Hashable, Sendable {
    /// Taken; how many of its pages had been waiting to be sent and now will not be.
    case taken(pages: Int, skipped: Int)
    /// The command is not open (any more).
    case stale
    /// Not one whole page of it lies in RAM.
    case invalid
}

/// Counters of the hint path, for the report.
public struct HintStatistics: Hashable, Sendable {
    /// Commands opened.
    public var commands = 0
    /// Blocks that came after stop, after done, or under an old id: returned to the guest and ignored.
    public var staleBlocks = 0
    /// Blocks outside RAM, smaller than a page, or with a broken descriptor.
    public var invalidBlocks = 0

    public init() {}
}

/// What a balloon does beside the hints, for the report.
public struct BalloonFigures: Hashable, Sendable {
    /// Pages that are in the balloon now.
    public var balloonedPages = 0
    /// Pages that the driver reported as free, since the device was made.
    public var reportedPages = 0

    public init() {}

    /// The same, with the reports since `start`.
    package func since(_ start: BalloonFigures) -> BalloonFigures {
        var figures = self
        figures.reportedPages -= start.reportedPages
        return figures
    }
}
