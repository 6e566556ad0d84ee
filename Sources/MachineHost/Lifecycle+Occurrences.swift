import AerostatHost
import AerostatMigration
import AerostatQMP

// What has happened.
extension Lifecycle {
    /// - Returns: what is to be done; `nil` where this cannot happen in this state, and so is a mistake of the caller.
    package mutating func note(_ occurrence: Occurrence) -> [Effect]? {
        switch occurrence {
        case .made:
            guard state == .awaiting(.creation) else { return nil }
            state = .held(Holding(condition: .fresh))
            return []
        case .started: return start()
        case .shellMade:
            guard state == .awaiting(.migration) else { return nil }
            state = .awaiting(.arrival)
            return []
        case .arrived(let runs, let since): return arrive(runs, since)
        case .arrivalSettled: return settleArrival()
        case .restored(let runs):
            guard state == .awaiting(.image) else { return nil }
            state = .held(Holding(condition: runs ? .running : .paused))
            return runs ? [.resumeGuest, .announce(.resume)] : []
        case .migrating(let status):
            guard isMigrating, !status.isOver else { return nil }
            return [.announce(.migration(status))]
        case .roundBegan(let round): return isMigrating ? [.announce(.migrationPass(round))] : nil
        case .handedOver: return handOver()
        case .migrationEnded(let status, let guestRuns):
            guard case .held(let guest) = state, let move = guest.move, status.isOver, status != .none else { return nil }
            return endMigration(status, guestRuns, guest, move)
        case .migrationDidNotBegin:
            guard case .held(let guest) = state, case .underWay = guest.move else { return nil }
            leaveMove(guest)
            return [.announce(.migration(.failed))] + endPending(guest)
        case .guestEnded(let ending): return endGuest(ending)
        case .processEnds(let ending): return end(ending)
        }
    }

    /// A client may have been quicker.
    private mutating func start() -> [Effect]? {
        switch state {
        case .awaiting: return nil
        case .gone, .ended: return []
        case .held(var guest):
            guard guest.condition == .fresh, !guest.isSwitchingOver else { return [] }
            guest.condition = .running
            state = .held(guest)
            return [.resumeGuest, .announce(.resume)]
        }
    }

    private mutating func arrive(_ runs: Bool, _ since: MonotonicClock.Instant) -> [Effect]? {
        // The guest may have ended as soon as it ran.
        if case .ended = state { return [] }
        guard state == .awaiting(.arrival) else { return nil }
        var guest = Holding(condition: runs ? .running : .paused)
        guest.arrivedAt = runs ? since : nil
        state = .held(guest)
        return []
    }

    private mutating func handOver() -> [Effect]? {
        guard case .held(var guest) = state, case .underWay(let place) = guest.move else { return nil }
        let ran = guest.condition == .running
        guest.move = .switchingOver(to: place)
        if guest.condition == .fresh { guest.condition = .paused }
        state = .held(guest)
        return ran ? [.announce(.stop)] : []
    }

    // MARK: Ends

    private mutating func endMigration(
        _ status: MigrationReport.Status,
        _ guestRuns: Bool,
        _ guest: Holding,
        _ move: Holding.Move
    ) -> [Effect] {
        var effects: [Effect] = []
        switch status {
        case .completed: state = .gone(to: move.place)
        case .unknown:
            var paused = Holding(condition: .paused)
            paused.isOwnershipUnknown = true
            state = .held(paused)
        default:
            leaveMove(guest)
            // Before the engine took over nothing changed; afterwards it has put the guest back as it was.
            guard guest.isSwitchingOver, guest.ending == nil else { break }
            state = .held(Holding(condition: guestRuns ? .running : .paused))
            if guestRuns { effects.append(.announce(.resume)) }
        }
        effects.append(.announce(.migration(status)))
        return effects + endPending(guest)
    }

    private mutating func leaveMove(_ guest: Holding) {
        var guest = guest
        (guest.move, guest.ending) = (nil, nil)
        state = .held(guest)
    }

    /// Nobody shall hear that the guest has ended while it still seems to be moving.
    private mutating func endPending(_ guest: Holding) -> [Effect] {
        guard let ending = guest.ending else { return [] }
        return concludeGuest(ending, wasMigrating: true)
    }

    private mutating func endGuest(_ ending: GuestEnding) -> [Effect] {
        switch state {
        case .ended: return []
        case .held(var guest) where guest.move != nil:
            if guest.ending != nil { return [] }
            guest.ending = ending
            state = .held(guest)
            return [.failMigration(ending)]
        // It may have ended before the word that it came was taken down.
        case .awaiting(.arrival): return [.announce(.resume)] + concludeGuest(ending, wasMigrating: false)
        case .awaiting, .held, .gone: return settleArrival() + concludeGuest(ending, wasMigrating: false)
        }
    }

    private mutating func concludeGuest(_ ending: GuestEnding, wasMigrating: Bool) -> [Effect] {
        state = .ended(ending.kind)
        let news: [Effect] = [
            .tellGuestEnded(ending, isKept: keepsEndedGuest), .announce(.shutdown(guest: true, reason: ending.kind.reason)),
        ]
        if keepsEndedGuest { return news }
        return news + (wasMigrating ? [.endProcessAfterGrace(ending)] : end(.guest(ending)))
    }
}
