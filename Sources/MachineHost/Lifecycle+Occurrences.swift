import AerostatHost
import AerostatMigration
import AerostatQMP

// What happens to a machine.
extension Lifecycle {
    /// - Returns: what to do; `nil` if this cannot happen in this state, which is a mistake of the caller.
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

    /// Does nothing if a client has already resumed the guest.
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
        // The guest may have ended right after it began to run.
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
            // If the engine had not taken over, nothing changed. Otherwise it has put the guest back as it was.
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

    /// The end of a guest is announced only after the end of its migration.
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
        // The guest may end before its arrival has been noted.
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
