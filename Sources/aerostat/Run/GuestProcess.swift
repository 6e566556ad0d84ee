import AerostatControl
import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import Logging
import Synchronization

/// One process with one guest, or with the place for one: what the control socket commands and what migrations move.
final class GuestProcess: Sendable {
    let logger: Logger
    let state: Mutex<State>
    /// Where events go once somebody can listen.
    private let server = Mutex<ControlServer?>(nil)
    /// Rung when the process shall end.
    let quit = Monitor<Ending?>(nil)
    /// Ends an incoming migration that is being waited for.
    let incomingDoorbell: Doorbell
    /// A guest that has ended by its own doing is kept to be looked at, and the process with it.
    let keepsEndedGuest: Bool

    struct State {
        var guest: (any LocalGuest)?
        var run: RunState
        var parameters = MigrationParameters()
        /// Keeps others from starting the image that the guest came from.
        var claim: ImageClaim?
        /// The migration under way, or the last one.
        var migration: SourceMigration?
        /// Until its end has been announced.
        var isMigrating = false
        /// When the guest that came here was about to run, until clients have been told.
        var arrivedAt: MonotonicClock.Instant?
        /// Commit was sent and its answer never came: the destination may run the guest.
        var isOwnershipUnknown = false
        /// Sockets that the process was started with, for `fd:N`.
        var inheritedSockets: Set<Int32>

        /// The image that the last migration wrote or writes; `nil` where it goes to another process.
        var image: String? {
            guard let place = migration?.report.destination, place.hasPrefix("file:") else { return nil }
            return String(place.dropFirst("file:".count))
        }
    }

    /// Why the process ends.
    enum Ending: Sendable {
        case asked(reason: String)
        case guest(MicroVM.Ending)
        case failed
    }

    init(run: RunState, keepsEndedGuest: Bool, inheritedSockets: Set<Int32>, logger: Logger) throws(SystemError) {
        self.logger = logger
        self.keepsEndedGuest = keepsEndedGuest
        state = Mutex(State(run: run, inheritedSockets: inheritedSockets))
        incomingDoorbell = try Doorbell()
    }

    func attach(_ server: ControlServer) { self.server.withLock { $0 = server } }

    /// Never waits. Under the lock of the state where it tells of one, so that events come in the order of what they say.
    /// - Parameter ago: when it happened.
    func announce(_ event: Event, ago: Duration = .zero) { server.withLock { $0 }?.broadcast(event, ago: ago) }

    /// Asks the process to end; the first reason counts.
    func end(_ ending: Ending) {
        let isFirst = quit.update { state in
            defer { state = state ?? ending }
            return state == nil
        }
        guard isFirst else { return }
        incomingDoorbell.ring()
        if case .asked(let reason) = ending { announce(.shutdown(guest: false, reason: reason)) }
    }

    // MARK: Running and pausing

    /// Starts a guest that was made here.
    func start(_ guest: any LocalGuest, paused: Bool) throws(GuestError) {
        try state.withLock { (state) throws(GuestError) in
            state.guest = guest
            guard !paused else { return state.run = .preLaunch }
            try guest.resume()
            state.run = .running
            announce(.resume)
        }
    }

    func stop() throws(QMPError) {
        try state.withLock { (state) throws(QMPError) in
            switch state.run {
            case .running: break
            case .paused, .preLaunch, .postMigrate, .shutdown, .guestPanicked: return
            case .finishMigrate: throw QMPError("the guest is paused already: a migration is switching it over")
            case .inMigrate: throw QMPError("there is no guest here yet: an incoming migration is awaited")
            case .restoreVM: throw QMPError("there is no guest here yet: its image is being read")
            }
            do throws(GuestError) { try state.guest?.pause() } catch { throw QMPError("\(error)") }
            announceArrival(&state)
            state.run = .paused
            announce(.stop)
        }
    }

    /// - Parameter force: runs the guest although the destination may run it too, or somebody may start its image; a person has made sure
    ///   that this is not so.
    func resume(force: Bool) throws(QMPError) {
        try resumeGuest(force: force)
        // A person says that it is nowhere else.
        if force { markImage(left: false) }
    }

    private func resumeGuest(force: Bool) throws(QMPError) {
        try state.withLock { (state) throws(QMPError) in
            switch state.run {
            case .running: return
            case .paused, .preLaunch: break
            case .finishMigrate: throw QMPError("a migration is switching the guest over; it decides where the guest runs")
            case .postMigrate:
                guard let image = state.image else { throw QMPError("the guest has gone: the destination said that it runs there") }
                guard force else {
                    throw QMPError(
                        "the guest is in its image \(image) now. Make sure that nobody starts it from there, then 'aerostat resume --force'"
                    )
                }
            case .inMigrate: throw QMPError("there is no guest here yet: an incoming migration is awaited")
            case .restoreVM: throw QMPError("there is no guest here yet: its image is being read")
            case .shutdown, .guestPanicked: throw QMPError("the guest has ended, and is kept only to be looked at; start it anew")
            }
            if state.isOwnershipUnknown && !force {
                throw QMPError(
                    "the destination may be running this guest: the link was lost after commit. Make sure that it does not run there, "
                        + "then resume with force"
                )
            }
            do throws(GuestError) { try state.guest?.resume() } catch { throw QMPError("\(error)") }
            state.isOwnershipUnknown = false
            state.run = .running
            announce(.resume)
        }
    }

    /// Whether there is a guest here, and it runs under KVM.
    var holdsMachine: Bool { state.withLock { $0.guest is MicroVM } }

    /// The guest, for commands that need one.
    func presentGuest() throws(QMPError) -> any LocalGuest {
        guard let guest = state.withLock({ $0.guest }) else {
            let isRestored = state.withLock { $0.run == .restoreVM }
            throw QMPError("there is no guest here yet: \(isRestored ? "its image is being read" : "an incoming migration is awaited")")
        }
        return guest
    }
}
