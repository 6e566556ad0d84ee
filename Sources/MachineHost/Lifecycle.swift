package import AerostatHost
package import AerostatMigration
package import AerostatQMP

/// The stage that a machine is in: a state machine without threads and clocks, and the only code that changes the state.
///
/// `obey` takes a command, which may be refused. `note` takes something that has happened. Both return the effects to carry out, in order.
/// At most one effect can fail, and it comes first. If it fails, no other effect is carried out and the state stays.
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
        /// Somebody brings the guest.
        case migration
        /// The empty machine of an incoming guest is here, and the guest's state is not yet.
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

        /// While the guest is switched over: its condition before.
        package var condition: Condition
        /// Commit was sent and no answer came: the destination may run the guest.
        package var isOwnershipUnknown = false
        /// Set until the end of the migration has been announced.
        package var move: Move?
        /// When an incoming guest was about to run. Set until clients have been told.
        package var arrivedAt: MonotonicClock.Instant?
        /// How the guest ended. Set while its migration is not over yet.
        package var ending: GuestEnding?

        package init(condition: Condition) { self.condition = condition }

        var isSwitchingOver: Bool {
            if case .switchingOver = move { true } else { false }
        }
    }

    /// What a person, or a program that acts for one, asks for.
    package enum Command: Hashable, Sendable {
        case stop
        /// `force` runs the guest although the destination may run it too, or somebody may start its image. A person vouches that neither
        /// is the case.
        case resume(force: Bool)
        case migrate(to: Place)
        case cancelMigration
        /// Reads the guest or its memory.
        case look
        /// Changes the machine, and the saved state must include the change. `advice` says what to do during a switch-over.
        case change(advice: String)
        case check
        case powerDown(hasButton: Bool)
    }

    /// What has happened.
    package enum Occurrence: Hashable, Sendable {
        /// The guest that this process makes exists.
        case made
        /// The guest should run for the first time.
        case started
        /// The empty machine of an incoming guest exists.
        case shellMade
        /// The incoming guest belongs to this process. It was about to run at that time.
        case arrived(runs: Bool, since: MonotonicClock.Instant)
        /// The source knows of the arrival, so clients may be told.
        case arrivalSettled
        /// The image's guest is restored.
        case restored(runs: Bool)
        case migrating(MigrationReport.Status)
        case roundBegan(Int)
        /// The engine is about to pause the guest.
        case handedOver
        /// `guestRuns` says whether the engine left the guest running, if it is still here.
        case migrationEnded(MigrationReport.Status, guestRuns: Bool)
        /// The migration could not even begin.
        case migrationDidNotBegin
        /// The guest ended on its own.
        case guestEnded(GuestEnding)
        case processEnds(ProcessEnding)
    }

    /// What the host must do.
    package enum Effect: Hashable, Sendable {
        // These three can fail.
        case pauseGuest
        case resumeGuest
        case makeMigration

        /// Tells clients.
        case announce(Event)
        /// Tells clients of something that happened at that time.
        case announceLate(Event, since: MonotonicClock.Instant)
        case cancelMigration
        /// Fails the migration, because its guest has ended.
        case failMigration(GuestEnding)
        case pressPowerButton
        /// Writes it to the log.
        case tellGuestEnded(GuestEnding, isKept: Bool)
        case endProcess(ProcessEnding)
        /// Ends the process after a delay, in which clients that watch the migration may ask how it ended.
        case endProcessAfterGrace(GuestEnding)
    }

    package var state: State
    /// Why the process ends. The first reason counts.
    package private(set) var processEnding: ProcessEnding?
    /// Whether a guest that ended on its own is kept for inspection, and the process with it.
    let keepsEndedGuest: Bool

    package init(_ awaited: Awaited, keepsEndedGuest: Bool) {
        state = .awaiting(awaited)
        self.keepsEndedGuest = keepsEndedGuest
    }

    /// The state, by QEMU's names.
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

    /// Whether a migration is under way, or its end has not been announced yet.
    package var isMigrating: Bool {
        if case .held(let guest) = state { guest.move != nil } else { false }
    }

    /// Notes that the process ends.
    mutating func end(_ ending: ProcessEnding) -> [Effect] {
        guard processEnding == nil else { return [] }
        processEnding = ending
        var effects = settleArrival()
        if case .asked(let reason) = ending { effects.append(.announce(.shutdown(guest: false, reason: reason))) }
        return effects + [.endProcess(ending)]
    }

    /// Announces once that the guest arrived and ran. This comes before any other news of the guest: a client that heard of the arrival at
    /// the source may already pause the guest or move it on, and the guest may end at once.
    mutating func settleArrival() -> [Effect] {
        guard case .held(var guest) = state, let since = guest.arrivedAt else { return [] }
        guest.arrivedAt = nil
        state = .held(guest)
        return [.announceLate(.resume, since: since)]
    }
}
