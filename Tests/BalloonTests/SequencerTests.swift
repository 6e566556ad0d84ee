import AerostatBalloon
import AerostatMigration
import Testing

@Suite struct SequencerTests {
    typealias State = FreePageHintSequencer.State
    typealias Action = FreePageHintSequencer.Action

    static let old = CommandID(rawValue: 8)
    static let current = CommandID(rawValue: 9)

    /// A sequencer whose last command was `old` (answered and stopped), and which is now in a state with the command `current`.
    static func inState(_ state: State) -> FreePageHintSequencer {
        var sequencer = FreePageHintSequencer(lastID: CommandID(rawValue: 7))
        _ = sequencer.begin()
        _ = sequencer.command(old.rawValue)
        sequencer.stop()
        _ = sequencer.begin()
        switch state {
        case .requested: break
        case .started: _ = sequencer.command(current.rawValue)
        case .stopped:
            _ = sequencer.command(current.rawValue)
            sequencer.stop()
        case .done: sequencer.done()
        }
        return sequencer
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let state: State
        let word: UInt32?
        let action: Action
        let after: State
        var testDescription: String { "\(state) hears \(word.map { "\($0)" } ?? "nonsense")" }

        init(_ state: State, _ word: UInt32?, _ action: Action, _ after: State) {
            self.state = state
            self.word = word
            self.action = action
            self.after = after
        }
    }

    static let rows: [Row] = [
        Row(.requested(current), current.rawValue, .announceStart(current), .started(current)),
        // The stop of the command before, and a replay of its start.
        Row(.requested(current), 0, .nothing, .requested(current)),
        Row(.requested(current), old.rawValue, .nothing, .requested(current)),
        Row(.requested(current), current.rawValue + 1, .nothing, .requested(current)),
        Row(.requested(current), 1, .nothing, .requested(current)),
        Row(.requested(current), nil, .countInvalid, .requested(current)),
        Row(.started(current), 0, .announceStop(current), .stopped),
        Row(.started(current), old.rawValue, .announceStop(current), .stopped),
        Row(.started(current), 1, .announceStop(current), .stopped),
        Row(.started(current), current.rawValue, .nothing, .started(current)),
        Row(.started(current), nil, .countInvalid, .started(current)),
        Row(.stopped, current.rawValue, .nothing, .stopped),
        Row(.stopped, 0, .nothing, .stopped),
        Row(.stopped, nil, .countInvalid, .stopped),
        Row(.done, current.rawValue, .nothing, .done),
        Row(.done, 0, .nothing, .done),
        Row(.done, 1, .nothing, .done),
    ]

    @Test(arguments: rows)
    func `A guest's command does what the table says`(row: Row) {
        var sequencer = Self.inState(row.state)
        #expect(sequencer.state == row.state)
        #expect(sequencer.command(row.word) == row.action)
        #expect(sequencer.state == row.after)
    }

    @Test func `A block counts while its command is started, and never else`() {
        #expect(Self.inState(.started(Self.current)).block() == .apply(Self.current))
        for state in [.requested(Self.current), .stopped, .done] as [State] { #expect(Self.inState(state).block() == .countStale) }
    }

    @Test func `Configuration shows the id while a command is open, and STOP or DONE else`() {
        #expect(FreePageHintSequencer().shownID == .stop)
        #expect(Self.inState(.requested(Self.current)).shownID == Self.current)
        #expect(Self.inState(.started(Self.current)).shownID == Self.current)
        #expect(Self.inState(.stopped).shownID == .stop)
        #expect(Self.inState(.done).shownID == .done)
    }

    @Test func `Ids begin at the minimum, wrap to it, and never stand for STOP or DONE`() {
        var fresh = FreePageHintSequencer()
        #expect(fresh.begin() == .minimum)
        #expect(fresh.begin() == CommandID(rawValue: 3))
        var last = FreePageHintSequencer(lastID: CommandID(rawValue: .max - 1))
        #expect(last.begin() == CommandID(rawValue: .max))
        #expect(last.begin() == .minimum)
    }

    @Test func `Stop, done and reset end a command for good`() {
        let ends: [(inout FreePageHintSequencer) -> Void] = [{ $0.stop() }, { $0.done() }, { $0.reset() }]
        for end in ends {
            for state in [.requested(Self.current), .started(Self.current)] as [State] {
                var sequencer = Self.inState(state)
                end(&sequencer)
                #expect(sequencer.openID == nil)
                #expect(sequencer.command(Self.current.rawValue) == .nothing)
                #expect(sequencer.block() == .countStale)
                #expect(sequencer.begin() == CommandID(rawValue: Self.current.rawValue + 1))
            }
        }
        var told = Self.inState(.done)
        told.stop()
        #expect(told.state == .done)
    }
}
