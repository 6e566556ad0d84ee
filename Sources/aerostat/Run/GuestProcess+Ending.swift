import AerostatControl
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import Dispatch
import Logging
import Synchronization

// A guest under KVM that ends by its own doing.
extension GuestProcess {
    /// Called on a vCPU's thread, under the machine's locks: what follows happens elsewhere.
    func guestEnded(_ ending: MicroVM.Ending) {
        DispatchQueue.global().async { [self] in conclude(ending) }
    }

    /// How long whoever watches a migration has to ask how it ended, before the process ends.
    private static let reportGrace = Duration.seconds(1)

    /// A migration that is under way fails first: nobody shall hear that the guest has ended while it still seems to be moving.
    private func conclude(_ ending: MicroVM.Ending) {
        var failed: SourceMigration?
        if let migration = state.withLock({ $0.migration }), migration.outcome == nil {
            migration.guestEnded("the guest ended during the migration: \(ending)")
            _ = migration.wait()
            failed = migration
        }
        state.withLock { state in
            // It may have ended before the word that it came was taken down.
            if state.run == .inMigrate { announce(.resume) } else { announceArrival(&state) }
            state.run = ending.runState
        }
        let fate = keepsEndedGuest ? "; its memory is kept (--no-shutdown)" : ""
        switch ending {
        case .powerOff, .reset: logger.info("the guest has ended: \(ending)\(fate)")
        case .crash: logger.error("the guest has crashed: \(ending)\(fate)")
        }
        announce(.shutdown(guest: true, reason: ending.reason))
        guard !keepsEndedGuest else { return }
        if failed != nil { _ = quit.wait(until: MonotonicClock.now() + Self.reportGrace) { $0 } }
        end(.guest(ending))
    }
}

extension MicroVM.Ending {
    fileprivate var runState: RunState {
        switch self {
        case .powerOff, .reset: .shutdown
        case .crash: .guestPanicked
        }
    }

    /// As QMP's event SHUTDOWN has it.
    fileprivate var reason: String {
        switch self {
        case .powerOff: "guest-shutdown"
        case .reset: "guest-reset"
        case .crash: "guest-panic"
        }
    }

    /// What the process ends with: a guest that ends as it wanted is no failure.
    var isFailure: Bool {
        switch self {
        case .powerOff, .reset: false
        case .crash: true
        }
    }
}

extension GuestProcess.Ending {
    var isFailure: Bool {
        switch self {
        case .asked: false
        case .guest(let ending): ending.isFailure
        case .failed: true
        }
    }
}
