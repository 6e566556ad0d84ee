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
/// The device calls the sink from its own thread while a command is open. `begin`, `stop` and `done` return only when no hint is in the
/// middle of being applied. From then on, hints of the old command are ignored.
public protocol FreePageHinting: AnyObject, Sendable {
    /// Whether the guest's driver negotiated hints and is running.
    var isAvailable: Bool { get }

    /// Whether the guest fills memory when it frees it. Then it need not clear the memory when it allocates it.
    var fillsFreedPages: Bool { get }

    /// Opens a command with a fresh id and tells the guest. The tracker must be armed before (rule "arm before asking"), unless the sink
    /// takes no page out of any set.
    func begin(reportingTo sink: any HintSink) -> CommandID

    /// Closes the command; the guest keeps the blocks that it holds. Does nothing if none is open.
    func stop()

    /// Closes the command and tells the guest to take its blocks back. The guest need not run: the message waits for it.
    /// - Parameter heard: called once, when the guest has heard the message; never if it does not listen. It may be called under the
    ///   device's lock, so it must only wake somebody. A command that is opened moments later can get the same blocks again. (If Linux's
    ///   driver hears it in the middle of a round, it gives the blocks back right after the round, but reads the command id once more
    ///   before that.)
    func done(heard: (@Sendable () -> Void)?)

    /// Counters since the last `resetStatistics`, which a migration calls before its first command.
    var statistics: HintStatistics { get }
    func resetStatistics()

    /// What the device's other queues did.
    var balloonFigures: BalloonFigures { get }
}

extension FreePageHinting {
    /// Closes the command without waiting until the guest has heard it.
    public func done() { done(heard: nil) }

    /// A device that only asks for hints.
    public var balloonFigures: BalloonFigures { BalloonFigures() }
}

/// Receives hints from the device's hint thread. The page ledger and the survey implement it; the simulator and tests have their own.
public protocol HintSink: AnyObject, Sendable {
    /// A command is about to be published. Blocks under this id count from now on.
    func hintsOpened(_ id: CommandID)

    /// The guest has begun to answer the command.
    func hintsStarted(_ id: CommandID)

    /// A block that was free at or after the time when the command was issued. The address is guest-physical and not yet checked against
    /// RAM.
    /// - Returns: what happened to it.
    func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome

    /// The guest has reported all its blocks, or was told to stop.
    func hintsStopped(_ id: CommandID)
}

/// What happened to one hinted block.
public enum HintOutcome: Hashable, Sendable {
    /// The block was taken. `skipped`: pages that were pending and now will not be sent.
    case taken(pages: Int, skipped: Int)
    /// The command is not open, or not open any more.
    case stale
    /// No whole page of it lies in RAM.
    case invalid
}

/// Counters of the hint path, for the report.
public struct HintStatistics: Hashable, Sendable {
    /// Commands opened.
    public var commands = 0
    /// Blocks that arrived after stop, after done, or under an old id. They were returned to the guest and ignored.
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
