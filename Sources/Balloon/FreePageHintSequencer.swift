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
/// Blocks count only in `started`. A start whose id is not the requested one is a replay of an old command, and a stop in `requested`
/// belongs to the old command: both change nothing. After its stop an id never counts again, because only `begin` leads to `requested`,
/// and it uses a new id.
public struct FreePageHintSequencer: Hashable, Sendable {
    /// The state of the exchange with the driver.
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
        /// Not a command at all: count it as invalid.
        case countInvalid
    }

    /// What to do with a block.
    public enum BlockAction: Hashable, Sendable {
        case apply(CommandID)
        case countStale
    }

    public private(set) var state = State.stopped
    /// The last id that was given out. The next command gets the one after it.
    public private(set) var lastID: CommandID

    /// - Parameter lastID: new ids follow this one. STOP for a fresh device.
    public init(lastID: CommandID = .stop) { self.lastID = lastID }

    /// The word that configuration space shows. It remains the id in `started`: a driver that reads it again because something else
    /// changed must not think that the round was stopped.
    public var shownID: CommandID {
        switch state {
        case .stopped: .stop
        case .requested(let id), .started(let id): id
        case .done: .done
        }
    }

    /// The id of the open command, requested or started.
    public var openID: CommandID? {
        switch state {
        case .requested(let id), .started(let id): id
        case .stopped, .done: nil
        }
    }

    /// Uses up the next id without asking the guest, because there is no driver to ask.
    public mutating func skipID() -> CommandID {
        lastID = lastID.successor
        return lastID
    }

    /// Opens a command with a new id. A command that was open is over.
    public mutating func begin() -> CommandID {
        #if BrokenEngines
            let id = BrokenEngine.isActive(.reusesID) ? CommandID.minimum : skipID()
        #else
            let id = skipID()
        #endif
        state = .requested(id)
        return id
    }

    /// The host ends the command. In `done`, the state stays `done`.
    public mutating func stop() { if openID != nil { state = .stopped } }

    /// Ends hinting: the driver takes its blocks back.
    public mutating func done() { state = .done }

    /// The driver reset the device. A new driver's buffers belong to no command, and it holds no blocks that it must free.
    public mutating func reset() { state = .stopped }

    /// Handles a device-readable buffer, which is a command of the guest.
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

    /// Handles a device-writable buffer, which is a free block.
    public func block() -> BlockAction {
        if case .started(let id) = state { return .apply(id) }
        #if BrokenEngines
            if BrokenEngine.isActive(.takesBlocksBeforeStart), let openID { return .apply(openID) }
        #endif
        return .countStale
    }
}
