import AerostatHost
import AerostatMachineHost
import AerostatMigration
import AerostatQMP

/// A state of the lifecycle, by a name that the table uses.
///
///     creation migration arrival image          nobody is here yet
///     CONDITION[+untold][+unknown][+moving|+over][+dying]
///                                                the guest is here and is fresh, paused or running; clients have not heard yet that it
///                                                came; its owner is unknown; it is being moved, or switched over; it has ended meanwhile
///     away in-image                             it has gone
///     powered-off was-reset crashed             it has ended
struct NamedState: Hashable {
    let state: Lifecycle.State

    static let instant = MonotonicClock.now()
    static let image = Lifecycle.Place.image(path: "/srv/image")
    static let ending = GuestEnding(.powerOff, "it powered off")

    /// All that can be: each combination that makes sense.
    static let all: [NamedState] = {
        typealias Holding = Lifecycle.Holding
        var states: [Lifecycle.State] = Lifecycle.Awaited.allCases.map(Lifecycle.State.awaiting)
        for condition in Holding.Condition.allCases {
            for move in [nil, Holding.Move.underWay(to: .process), .switchingOver(to: .process)] {
                for isDying in [false, true] {
                    var guest = Holding(condition: condition)
                    guest.move = move
                    guest.ending = isDying ? ending : nil
                    // A guest that ends while nothing moves has ended; one that is switched over is not fresh any more.
                    if isDying, move == nil { continue }
                    if condition == .fresh, case .switchingOver = move { continue }
                    states.append(.held(guest))
                }
            }
        }
        var untold = Holding(condition: .running)
        untold.arrivedAt = instant
        var unknown = Holding(condition: .paused)
        unknown.isOwnershipUnknown = true
        states += [.held(untold), .held(unknown), .gone(to: .process), .gone(to: image)]
        states += GuestEnding.Kind.allCases.map(Lifecycle.State.ended)
        return states.map(NamedState.init)
    }()

    var name: String {
        switch state {
        case .awaiting(let awaited): "\(awaited)"
        case .held(let guest): Self.name(guest)
        case .gone(.process): "away"
        case .gone(.image): "in-image"
        case .ended(.powerOff): "powered-off"
        case .ended(.reset): "was-reset"
        case .ended(.crash): "crashed"
        }
    }

    private static func name(_ guest: Lifecycle.Holding) -> String {
        var name = "\(guest.condition)"
        if guest.arrivedAt != nil { name += "+untold" }
        if guest.isOwnershipUnknown { name += "+unknown" }
        switch guest.move {
        case nil: break
        case .underWay: name += "+moving"
        case .switchingOver: name += "+over"
        }
        return guest.ending == nil ? name : name + "+dying"
    }
}

extension Lifecycle.Effect {
    /// As the table has it: QMP's events in capitals, all else in words.
    var words: String {
        switch self {
        case .pauseGuest: "pause"
        case .resumeGuest: "resume"
        case .makeMigration: "make migration"
        case .announce(let event): Self.words(event)
        case .announceLate(let event, let since): "\(Self.words(event)) of \(since == NamedState.instant ? "then" : "another time")"
        case .cancelMigration: "cancel"
        case .failMigration: "fail migration"
        case .pressPowerButton: "press"
        case .tellGuestEnded(_, let isKept): isKept ? "log kept" : "log"
        case .endProcess(.asked(let reason)): "end by \(reason)"
        case .endProcess(.guest): "end by guest"
        case .endProcess(.failed): "end by failure"
        case .endProcessAfterGrace: "end by guest after grace"
        }
    }

    private static func words(_ event: Event) -> String {
        switch event {
        case .stop: "STOP"
        case .resume: "RESUME"
        case .migration(let status): "MIGRATION \(status.rawValue)"
        case .migrationPass(let pass): "MIGRATION_PASS \(pass)"
        case .powerDown: "POWERDOWN"
        case .shutdown(_, let reason): "SHUTDOWN \(reason)"
        case .other(let name, _): name
        }
    }
}
