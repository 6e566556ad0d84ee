import AerostatMigration
import AerostatModelGuest

/// Something bad that happens in the middle of a migration.
struct StressInjury: CustomStringConvertible {
    enum Kind: String, CaseIterable {
        case killSource = "source killed"
        case killDestination = "destination killed"
        case freezeSource = "source stopped for a while"
        case freezeDestination = "destination stopped for a while"
        case cutLink = "link cut"
        case halfCutLink = "link cut one way"
        case garbleLink = "link garbled"
        case loseFrame = "frame lost"
        case stallLink = "link stalled"
        case cancel = "migration cancelled"
        case interrupt = "migrate interrupted"
        case pause = "guest paused"
        case pauseAndResume = "guest paused and resumed"
        case quitSource = "source asked to quit"
        case terminateSource = "source sent SIGTERM"
        case terminateDestination = "destination sent SIGTERM"
        case check = "guest checked"

        /// Injuries that end the source's process.
        var endsSource: Bool { [.killSource, .quitSource, .terminateSource].contains(self) }
        var endsDestination: Bool { [.killDestination, .terminateDestination].contains(self) }
        /// Only after these may a migration fail.
        var mayFail: Bool { endsDestination || endsSource || needsLink && self != .stallLink }
        var mayCancel: Bool { endsSource || self == .cancel || self == .interrupt }
        var needsLink: Bool { [.cutLink, .halfCutLink, .garbleLink, .loseFrame, .stallLink].contains(self) }
        var needsDestination: Bool { needsLink || endsDestination || self == .freezeDestination }
    }

    enum Moment: CustomStringConvertible {
        /// Time since `aerostat migrate` was started.
        case time(milliseconds: Int)
        case bytes(Int, StressLink.Direction)
        /// This many bytes into the first frame of this kind in this direction. If the frame is shorter, its end.
        case frame(FrameKind, StressLink.Direction, bytes: Int)

        var description: String {
            switch self {
            case .time(let milliseconds): "after \(milliseconds) ms"
            case .bytes(let bytes, let direction): "after \(bytes) bytes \(direction.rawValue)"
            case .frame(let kind, let direction, let bytes): "\(bytes) bytes into the first \(kind) \(direction.rawValue)"
            }
        }
    }

    let kind: Kind
    let moment: Moment
    /// How long a stall or a freeze lasts: always shorter than the engine waits for a silent peer.
    let milliseconds: Int

    var description: String {
        let isPassing = [.freezeSource, .freezeDestination, .stallLink, .pauseAndResume].contains(kind)
        return "\(kind.rawValue)\(isPassing ? " (\(milliseconds) ms)" : "") \(moment)"
    }

    init(_ random: inout SplitMix, through route: StressHop.Route, mebibytes: Int) {
        let kinds = Kind.allCases.filter { route != .image || !$0.needsDestination }
        kind = kinds.randomElement(using: &random)!
        milliseconds = random.spread(1...1200)
        moment =
            switch kind {
            case .loseFrame: .lostFrame(&random)
            case .garbleLink: .garbledByte(&random)
            default: .anywhere(&random, through: route, mebibytes: mebibytes, isAtByte: kind == .halfCutLink)
            }
    }
}

extension StressInjury.Moment {
    /// Before a frame that is followed by another one.
    fileprivate static func lostFrame(_ random: inout SplitMix) -> Self {
        .frame([.roundBegin, .runs, .runs, .runs, .deviceState].randomElement(using: &random)!, .toDestination, bytes: 0)
    }

    /// A byte that the checksum covers, but none of the pages or lengths. After a wrong length the reader would wait for more bytes.
    fileprivate static func garbledByte(_ random: inout SplitMix) -> Self {
        let frames: [(FrameKind, StressLink.Direction)] = [
            (.hello, .toDestination), (.hello, .toSource), (.roundBegin, .toDestination), (.runs, .toDestination), (.runs, .toDestination),
            (.runs, .toDestination), (.runs, .toDestination), (.deviceState, .toDestination), (.digests, .toDestination),
            (.switchover, .toDestination),
            (.ready, .toSource), (.commit, .toDestination), (.running, .toSource),
        ]
        let (frame, direction) = frames.randomElement(using: &random)!
        let hasBody = [.hello, .runs, .deviceState, .digests].contains(frame)
        let covered = hasBody && random.chance(75) ? 40...47 : [4...15, 20...23, 32...39].randomElement(using: &random)!
        return .frame(frame, direction, bytes: random.number(covered))
    }

    fileprivate static func anywhere(_ random: inout SplitMix, through route: StressHop.Route, mebibytes: Int, isAtByte: Bool) -> Self {
        switch random.weighted([0: isAtByte ? 0 : 3, 1: 3, 2: 5]) {
        case 1 where route != .image:
            let back = random.chance(10)
            return back ? .bytes(random.spread(1...500), .toSource) : .bytes(random.spread(1...mebibytes << 19), .toDestination)
        case 2 where route != .image:
            let frames: [(FrameKind, StressLink.Direction)] = [
                (.hello, .toDestination), (.hello, .toSource), (.roundBegin, .toDestination), (.runs, .toDestination),
                (.roundEnd, .toDestination), (.progress, .toSource), (.deviceState, .toDestination), (.digests, .toDestination),
                (.switchover, .toDestination), (.ready, .toSource), (.commit, .toDestination), (.commit, .toDestination),
                (.running, .toSource), (.running, .toSource),
            ]
            let (frame, direction) = frames.randomElement(using: &random)!
            return .frame(frame, direction, bytes: random.chance(50) ? random.number(0...1) * 1_000_000 : random.spread(1...200_000))
        default: return .time(milliseconds: random.spread(1...800))
        }
    }
}
