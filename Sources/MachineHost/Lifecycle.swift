package import AerostatHost
package import AerostatMigration
package import AerostatQMP

/// Where a machine is in its life: a state machine without threads and clocks, and the only place that changes the state.
///
/// `obey` takes a command of a person, which may be refused. `note` takes what has happened. Both say what is to be done, in order. Of an
/// effect that can fail there is one at most, and it comes first: where it fails nothing else is done, and the state stays.
///
/// ```
///                   made, arrived, restored                 migration completed
///   awaiting ------------------------------> held ------------------------------> gone
///      |                                      ^ |                                   |
///      |                                      | '--- guest ended ---> ended <-------'
///      '--- guest ended ---> ended            '----- resume --force (from an image) |
/// ```
package struct Lifecycle: Hashable, Sendable {
    /// Where a guest goes when it leaves.
    package enum Place: Hashable, Sendable {
        case process
        case image(path: String)
    }

    package enum State: Hashable, Sendable {
        case awaiting(Awaited)
        case held(Holding)
        case gone(to: Place)
        case ended(GuestEnding.Kind)
    }

    /// What a machine without a guest waits for.
    package enum Awaited: Hashable, Sendable, CaseIterable {
        /// This process makes the guest.
        case creation
        /// Somebody who brings it.
        case migration
        /// The rest of it: its empty machine is here.
        case arrival
        /// Its image is being read.
        case image
    }

    /// The guest is here.
    package struct Holding: Hashable, Sendable {
        package enum Condition: Hashable, Sendable, CaseIterable {
            /// It never ran.
            case fresh
            case paused
            case running
        }

        package enum Move: Hashable, Sendable {
            case underWay(to: Place)
            /// The engine has the guest: nobody else pauses or resumes it.
            case switchingOver(to: Place)

            var place: Place {
                switch self {
                case .underWay(let place), .switchingOver(let place): place
                }
            }
        }

        /// While it is switched over: what it was before.
        package var condition: Condition
        /// Commit was sent and its answer never came: the destination may run the guest.
        package var isOwnershipUnknown = false
        /// Until its end has been announced.
        package var move: Move?
        /// When the guest that came here was about to run, until clients have been told.
        package var arrivedAt: MonotonicClock.Instant?
        /// The guest has ended, and its migration is not over yet.
        package var ending: GuestEnding?

        package init(condition: Condition) { self.condition = condition }

        var isSwitchingOver: Bool {
            if case .switchingOver = move { true } else { false }
        }
    }

    /// What a person asks for, and programs that speak for one.
    package enum Command: Hashable, Sendable {
        case stop
        /// `force` runs the guest although the destination may run it too, or somebody may start its image: a person has made sure that
        /// this is not so.
        case resume(force: Bool)
        case migrate(to: Place)
        case cancelMigration
        /// Something looks at the guest or its memory.
        case look
        /// Something changes the machine, which its saved state must have; `advice` is what to do during a switch-over.
        case change(advice: String)
        case check
        case powerDown(hasButton: Bool)
    }

    /// What has happened.
    package enum Occurrence: Hashable, Sendable {
        /// The guest that this process makes is there.
        case made
        /// It shall run.
        case started
        /// The empty machine of a guest that comes in is there.
        case shellMade
        /// The guest that came in is this process's; it was about to run at that time.
        case arrived(runs: Bool, since: MonotonicClock.Instant)
        /// Its source knows it, so clients may be told.
        case arrivalSettled
        /// The guest of an image is there.
        case restored(runs: Bool)
        case migrating(MigrationReport.Status)
        case roundBegan(Int)
        /// The engine is about to pause the guest.
        case handedOver
        /// `guestRuns` is what the engine made of it, where the guest is still here.
        case migrationEnded(MigrationReport.Status, guestRuns: Bool)
        /// The migration could not even begin.
        case migrationDidNotBegin
        /// By its own doing.
        case guestEnded(GuestEnding)
        case processEnds(ProcessEnding)
    }

    /// What is to be done.
    package enum Effect: Hashable, Sendable {
        // These three can fail.
        case pauseGuest
        case resumeGuest
        case makeMigration

        /// Clients are told.
        case announce(Event)
        /// Of something that was at that time.
        case announceLate(Event, since: MonotonicClock.Instant)
        case cancelMigration
        /// The guest is no more.
        case failMigration(GuestEnding)
        case pressPowerButton
        /// The log says so.
        case tellGuestEnded(GuestEnding, isKept: Bool)
        case endProcess(ProcessEnding)
        /// Whoever watches the migration may ask how it ended before.
        case endProcessAfterGrace(GuestEnding)
    }

    package var state: State
    /// The first reason to end counts.
    package private(set) var processEnding: ProcessEnding?
    /// A guest that has ended by its own doing is kept to be looked at, and the process with it.
    let keepsEndedGuest: Bool

    package init(_ awaited: Awaited, keepsEndedGuest: Bool) {
        state = .awaiting(awaited)
        self.keepsEndedGuest = keepsEndedGuest
    }

    /// The state under QEMU's names.
    package var runState: RunState {
        switch state {
        case .awaiting(.creation): .preLaunch
        case .awaiting(.migration), .awaiting(.arrival): .inMigrate
        case .awaiting(.image): .restoreVM
        case .held(let guest) where guest.isSwitchingOver: .finishMigrate
        case .held(let guest):
            switch guest.condition {
            case .fresh: .preLaunch
            case .paused: .paused
            case .running: .running
            }
        case .gone: .postMigrate
        case .ended(.crash): .guestPanicked
        case .ended(.powerOff), .ended(.reset): .shutdown
        }
    }

    /// A migration is under way, or its end was not announced yet.
    package var isMigrating: Bool {
        if case .held(let guest) = state { guest.move != nil } else { false }
    }

    /// Takes down that the process ends.
    mutating func end(_ ending: ProcessEnding) -> [Effect] {
        guard processEnding == nil else { return [] }
        processEnding = ending
        var effects = settleArrival()
        if case .asked(let reason) = ending { effects.append(.announce(.shutdown(guest: false, reason: reason))) }
        return effects + [.endProcess(ending)]
    }

    /// Says once that the guest came and ran, before anything is said of what became of it: who heard of it at the source may already be
    /// about to pause it, or move it on, and it may end at once.
    mutating func settleArrival() -> [Effect] {
        guard case .held(var guest) = state, let since = guest.arrivedAt else { return [] }
        guest.arrivedAt = nil
        state = .held(guest)
        return [.announceLate(.resume, since: since)]
    }
}
