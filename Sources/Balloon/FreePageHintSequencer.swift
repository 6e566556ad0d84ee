public import AerostatMigration

#if BrokenEngines
    import AerostatHost
#endif

/// Decides which hints count: the device's half of the free-page-hint protocol (specification 5.5.6.6), without queues or locks.
///
///              begin                start(id)             anything but id
///     stopped -------> requested(id) -------> started(id) ----------------> stopped
///        ^                 |                      |
///        +---- stop -------+------- stop ---------+           done, from every state --> done
///
/// Blocks count in `started` alone. A start whose id is not the requested one is a replay of an old command, and a stop while requested is
/// the old command's: both change nothing. After its stop an id never counts again, because only `begin` leads to `requested`, with an
/// id that is new.
public struct FreePageHintSequencer: Hashable, Sendable {
    /// Where the exchange with the driver stands.
    public enum State: Hashable, Sendable {
        case stopped
        /// The guest was told the id and has not answered.
        case requested(CommandID)
        /// The guest is reporting.
        case started(CommandID)
        case done
    }

    /// What to do about an event.
    public enum Action: Hashable, Sendable {
        case nothing
        /// Say that the guest began to answer.
        case announceStart(CommandID)
        /// Say that the command is over.
        case announceStop(CommandID)
        /// Not a command at all: count it.
        case countInvalid
    }

    /// What to do with a block.
    public enum BlockAction: Hashable, Sendable {
        case apply(CommandID)
        case countStale
    }

    public private(set) var state = State.stopped
    /// The last id given out; the next command's is the one after it.
    public private(set) var lastID: CommandID

    /// - Parameter lastID: goes on behind this one; STOP for a fresh device.
    public init(lastID: CommandID = .stop) { self.lastID = lastID }

    /// What configuration space shows. The id also while started: a driver that reads it then, because something else changed, must not
    /// take the round for stopped.
    public var shownID: CommandID {
        switch state {
        case .stopped: .stop
        case .requested(let id), .started(let id): id
        case .done: .done
        }
    }

    /// The command that is open, requested or started.
    public var openID: CommandID? {
        switch state {
        case .requested(let id), .started(let id): id
        case .stopped, .done: nil
        }
    }

    /// Takes the next id without asking the guest: there is no driver to ask.
    public mutating func skipID() -> CommandID {
        lastID = lastID.successor
        return lastID
    }

    /// Opens a command with an id not used before. The one open until now, if any, is over.
    public mutating func begin() -> CommandID {
        #if BrokenEngines
            let id = BrokenEngine.isActive(.reusesID) ? CommandID.minimum : skipID()
        #else
            let id = skipID()
        #endif
        state = .requested(id)
        return id
    }

    /// The host ends the command; a guest that was told *done* stays told.
    public mutating func stop() { if openID != nil { state = .stopped } }

    /// Ends the command: the driver takes its blocks back.
    public mutating func done() { state = .done }

    /// The driver reset the device: what a new driver says belongs to no command (and it holds no blocks that it must be told to free).
    public mutating func reset() { state = .stopped }

    /// A device-readable buffer: a command of the guest's.
    /// - Parameter word: its content; `nil` unless it is four readable bytes.
    public mutating func command(_ word: UInt32?) -> Action {
        guard let word else { return .countInvalid }
        #if BrokenEngines
            if BrokenEngine.isActive(.takesStaleID), word >= CommandID.minimum.rawValue, let id = openID {
                state = .started(id)
                return .announceStart(id)
            }
        #endif
        switch state {
        case .requested(let id) where id.rawValue == word:
            state = .started(id)
            return .announceStart(id)
        case .started(let id) where id.rawValue != word:
            state = .stopped
            return .announceStop(id)
        case .requested, .started, .stopped, .done:
            return .nothing
        }
    }

    /// A device-writable buffer: a free block.
    public func block() -> BlockAction {
        if case .started(let id) = state { return .apply(id) }
        #if BrokenEngines
            if BrokenEngine.isActive(.takesBlocksBeforeStart), let openID { return .apply(openID) }
        #endif
        return .countStale
    }
}
