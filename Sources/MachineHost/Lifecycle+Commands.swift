import AerostatMigration
package import AerostatQMP

// The commands of people.
extension Lifecycle {
    /// - Throws: the refusal. Then nothing has changed.
    /// - Returns: what to do.
    package mutating func obey(_ command: Command) throws(QMPError) -> [Effect] {
        switch command {
        case .stop: return try stop()
        case .resume(let force): return try resume(force: force)
        case .migrate(let place): return try migrate(to: place)
        case .cancelMigration: return isMigrating ? [.cancelMigration] : []
        case .look: try requirePresence()
        case .change(let advice): try requireChangeable(advice)
        case .check:
            try requirePresence()
            if case .awaiting(.arrival) = state { throw QMPError("the guest is still arriving") }
            // The check would add its own time to the downtime.
            try requireNoSwitchOver("check it when that is done")
        case .powerDown(let hasButton):
            try requirePresence()
            guard hasButton else { throw QMPError("the model guest has no power button; quit ends it") }
            // A press after the guest's state was saved would be lost with the source's machine.
            try requireNoSwitchOver("press it where the guest is then")
            return [.pressPowerButton, .announce(.powerDown)]
        }
        return []
    }

    private mutating func stop() throws(QMPError) -> [Effect] {
        switch state {
        case .awaiting(let awaited): throw Self.absence(awaited)
        case .gone, .ended: return []
        case .held(var guest):
            if guest.isSwitchingOver { throw QMPError("the guest is paused already: a migration is switching it over") }
            guard guest.condition == .running else { return [] }
            let news = settleArrival()
            (guest.condition, guest.arrivedAt) = (.paused, nil)
            state = .held(guest)
            return [.pauseGuest] + news + [.announce(.stop)]
        }
    }

    private mutating func resume(force: Bool) throws(QMPError) -> [Effect] {
        switch state {
        case .awaiting(let awaited): throw Self.absence(awaited)
        case .ended: throw QMPError("the guest has ended, and is kept only to be looked at; start it anew")
        case .gone(.process): throw QMPError("the guest has gone: the destination said that it runs there")
        case .gone(.image(let path)):
            guard force else {
                throw QMPError(
                    "the guest is in its image \(path) now. Make sure that nobody starts it from there, then 'aerostat resume --force'"
                )
            }
            state = .held(Holding(condition: .running))
        case .held(var guest):
            if guest.isSwitchingOver { throw QMPError("a migration is switching the guest over; it decides where the guest runs") }
            if guest.condition == .running { return [] }
            if guest.isOwnershipUnknown && !force {
                throw QMPError(
                    "the destination may be running this guest: the link was lost after commit. Make sure that it does not run there, "
                        + "then resume with force"
                )
            }
            (guest.condition, guest.isOwnershipUnknown) = (.running, false)
            state = .held(guest)
        }
        return [.resumeGuest, .announce(.resume)]
    }

    private mutating func migrate(to place: Place) throws(QMPError) -> [Effect] {
        switch state {
        case .awaiting(.arrival): throw QMPError("the guest is \(runState.rawValue)")
        case .awaiting(let awaited): throw Self.absence(awaited)
        case .gone(let earlier): throw Self.departure(to: earlier)
        case .ended: throw QMPError("the guest has ended: there is nothing to migrate")
        case .held(let guest):
            if guest.move != nil { throw QMPError("There's a migration process in progress") }
            if guest.isOwnershipUnknown {
                throw QMPError("the destination of the last migration may be running this guest; resume it with force first")
            }
        }
        let news = settleArrival()
        guard case .held(var guest) = state else { preconditionFailure("the guest is here") }
        guest.move = .underWay(to: place)
        state = .held(guest)
        return [.makeMigration] + news + [.announce(.migration(.setup))]
    }

    // MARK: Refusals

    private func requirePresence() throws(QMPError) {
        guard case .awaiting(let awaited) = state, awaited != .arrival else { return }
        throw Self.absence(awaited)
    }

    private func requireNoSwitchOver(_ advice: String) throws(QMPError) {
        if case .held(let guest) = state, guest.isSwitchingOver {
            throw QMPError("a migration is switching the guest over; \(advice)")
        }
    }

    private func requireChangeable(_ advice: String) throws(QMPError) {
        switch state {
        case .awaiting(.arrival): throw QMPError("the guest is still arriving")
        case .awaiting(let awaited): throw Self.absence(awaited)
        case .held: try requireNoSwitchOver(advice)
        case .gone(let place): throw Self.departure(to: place)
        case .ended: throw QMPError("the guest has ended, and is kept only to be looked at; start it anew")
        }
    }

    private static func absence(_ awaited: Awaited) -> QMPError {
        let reason =
            switch awaited {
            case .creation: "it is being made"
            case .migration, .arrival: "an incoming migration is awaited"
            case .image: "its image is being read"
            }
        return QMPError("there is no guest here yet: \(reason)")
    }

    private static func departure(to place: Place) -> QMPError {
        switch place {
        case .process: QMPError("the guest has gone to another process already")
        case .image(let path): QMPError("the guest has gone to its image \(path) already")
        }
    }
}
