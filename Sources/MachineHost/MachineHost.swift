import AerostatGuestMemory
public import AerostatHost
public import AerostatMigration
import AerostatMigrationIO
public import AerostatQMP
import Dispatch
public import Logging
import Synchronization

/// The manager of one machine in one process. It holds the guest, or waits for one, carries out commands, and migrates the guest.
///
/// One lock guards the `Lifecycle`. The lifecycle's effects are carried out under this lock, and events are announced under it, so that
/// events come in the order of the changes. Lock order: the machine's own locks may be taken under the host's lock, but never the other
/// way round. No vCPU thread takes the host's lock.
public final class MachineHost: Sendable {
    /// Hears events. It must not block.
    public typealias Listener = @Sendable (Event, _ ago: Duration) -> Void

    /// Where the guest comes from.
    public enum Origin: Hashable, Sendable {
        /// This process makes the guest, and calls `hold`.
        case new
        case incoming
        case image
    }

    public let logger: Logger
    let state: Mutex<State>
    /// Receives events once a listener is attached.
    private let listener = Mutex<Listener?>(nil)
    /// What capabilities do with the guest as soon as it exists.
    private let preparations = Mutex<[@Sendable (any LocalGuest) -> Void]>([])
    /// Set when the process should end.
    private let ending = Monitor<ProcessEnding?>(nil)
    /// Ends the wait for an incoming migration.
    let incomingDoorbell: Doorbell

    struct State {
        var lifecycle: Lifecycle
        var guest: (any LocalGuest)?
        var parameters = MigrationParameters()
        /// Keeps others from starting the image that the guest came from.
        var claim: ImageClaim?
        /// The migration under way, or the last one.
        var migration: SourceMigration?
        /// Sockets that the process was started with, for `fd:N`.
        var inheritedSockets: Set<Int32>
    }

    /// - Parameters:
    ///   - keepsEndedGuest: keep a guest that ended on its own for inspection, and the process with it.
    ///   - inheritedSockets: the descriptors that `migrate fd:N` may name.
    public init(_ origin: Origin, keepsEndedGuest: Bool, inheritedSockets: Set<Int32>, logger: Logger) throws(SystemError) {
        self.logger = logger
        let awaited: Lifecycle.Awaited =
            switch origin {
            case .new: .creation
            case .incoming: .migration
            case .image: .image
            }
        let lifecycle = Lifecycle(awaited, keepsEndedGuest: keepsEndedGuest)
        state = Mutex(State(lifecycle: lifecycle, inheritedSockets: inheritedSockets))
        incomingDoorbell = try Doorbell()
    }

    /// Sends events to this listener from now on.
    public func attach(_ listener: @escaping Listener) { self.listener.withLock { $0 = listener } }

    /// Announces an event that the lifecycle does not know. It never blocks, and takes no lock of the machine.
    /// - Parameter ago: how long ago it happened.
    public func announce(_ event: Event, ago: Duration = .zero) { listener.withLock { $0 }?(event, ago) }

    /// Whether the guest runs, in QEMU's terms.
    public var runState: RunState { state.withLock { $0.lifecycle.runState } }

    // MARK: The guest

    /// Takes the guest that this process made. It does not run yet.
    public func hold(_ guest: any LocalGuest) {
        state.withLock { state in
            take(guest, &state)
            note(.made, &state)
        }
    }

    /// Registers `body`, which is called with the guest as soon as it exists and before it runs. It is called under the machine's lock, so
    /// it must not call the host. Register it before there is a guest.
    public func prepareGuest(_ body: @escaping @Sendable (any LocalGuest) -> Void) { preparations.withLock { $0.append(body) } }

    func take(_ guest: any LocalGuest, _ state: inout State) {
        state.guest = guest
        for prepare in preparations.withLock({ $0 }) { prepare(guest) }
    }

    /// Runs the guest for the first time, unless a client already has.
    public func start() throws(GuestError) { try attempt(.started) }

    /// Called on a vCPU's thread under the machine's locks, so the work is done on another thread.
    public func guestEnded(_ ending: GuestEnding) {
        DispatchQueue.global().async { [self] in note(.guestEnded(ending)) }
    }

    /// The guest, for commands that only read it.
    public func presentGuest() throws(QMPError) -> any LocalGuest {
        try state.withLock { (state) throws(QMPError) in
            try obey(.look, &state)
            return state.guest!
        }
    }

    /// Changes the machine while nobody saves its state. `body` runs under the host's lock, so that no switch-over begins meanwhile.
    /// - Parameters:
    ///   - advice: what a person should do if a migration is switching the guest over.
    ///   - body: must not wait for the guest. The events that it returns are announced.
    public func changeMachine(
        orElse advice: String,
        _ body: (any LocalGuest) throws(QMPError) -> [Event]
    ) throws(QMPError) {
        try state.withLock { (state) throws(QMPError) in
            try obey(.change(advice: advice), &state)
            for event in try body(state.guest!) { announce(event) }
        }
    }

    // MARK: The end

    /// Asks the process to end; the first reason counts.
    public func end(_ ending: ProcessEnding) { note(.processEnds(ending)) }

    /// Waits until the process should end.
    public func waitForEnd() -> ProcessEnding { ending.wait { $0 }! }

    /// Ends the migration that is under way and the guest's threads. No events are sent afterwards.
    public func shutdown() {
        let (guest, migration) = state.withLock { ($0.guest, $0.migration) }
        if let migration {
            migration.cancel()
            _ = migration.wait()
        }
        guest?.shutdown()
        // The host and the listener hold references to each other.
        listener.withLock { $0 = nil }
        state.withLock { $0.migration = nil }
    }

    // MARK: The lifecycle's door

    /// Gives the lifecycle a command, and carries out the effects.
    func obey(_ command: Lifecycle.Command) throws(QMPError) {
        try state.withLock { (state) throws(QMPError) in try obey(command, &state) }
    }

    /// - Parameter makeMigration: makes the migration, for the command that begins one.
    func obey(
        _ command: Lifecycle.Command,
        _ state: inout State,
        makeMigration: (inout State) throws(QMPError) -> Void = { _ in preconditionFailure("only 'migrate' makes a migration") }
    ) throws(QMPError) {
        var next = state.lifecycle
        for effect in try next.obey(command) {
            if effect == .makeMigration {
                try makeMigration(&state)
            } else {
                do throws(GuestError) { try perform(effect, &state) } catch { throw QMPError("\(error)") }
            }
        }
        state.lifecycle = next
    }

    /// Notes something whose effects cannot fail.
    func note(_ occurrence: Lifecycle.Occurrence) { state.withLock { note(occurrence, &$0) } }

    func note(_ occurrence: Lifecycle.Occurrence, _ state: inout State) {
        do throws(GuestError) { try attempt(occurrence, &state) } catch {
            preconditionFailure("\(occurrence) lets the guest run: \(error)")
        }
    }

    /// Notes something that may make a guest run, which can fail.
    func attempt(_ occurrence: Lifecycle.Occurrence) throws(GuestError) {
        try state.withLock { (state) throws(GuestError) in try attempt(occurrence, &state) }
    }

    func attempt(_ occurrence: Lifecycle.Occurrence, _ state: inout State) throws(GuestError) {
        var next = state.lifecycle
        guard let effects = next.note(occurrence) else { preconditionFailure("\(occurrence) while \(state.lifecycle.state)") }
        for effect in effects { try perform(effect, &state) }
        state.lifecycle = next
    }

    private func perform(_ effect: Lifecycle.Effect, _ state: inout State) throws(GuestError) {
        switch effect {
        case .pauseGuest: try state.guest!.pause()
        case .resumeGuest: try state.guest!.resume()
        case .makeMigration: preconditionFailure("by 'migrate' alone")
        case .announce(let event): announce(event)
        case .announceLate(let event, let since): announce(event, ago: since.duration(to: MonotonicClock.now()))
        case .cancelMigration: state.migration?.cancel()
        case .failMigration(let ending): state.migration?.guestEnded("the guest ended during the migration: \(ending)")
        case .pressPowerButton: state.guest!.powerButton?.pressPowerButton()
        case .tellGuestEnded(let ending, let isKept): tell(ending, isKept)
        case .endProcess(let reason):
            ending.update { $0 = reason }
            incomingDoorbell.ring()
        case .endProcessAfterGrace(let reason):
            // Not on the migration's thread: the end of the process waits for that thread.
            DispatchQueue.global().async { [self] in
                _ = ending.wait(until: MonotonicClock.now() + Self.reportGrace) { $0 }
                end(.guest(reason))
            }
        }
    }

    /// How long the process outlives a guest that ended during a migration, so that clients that watch it can ask how it ended.
    private static let reportGrace = Duration.seconds(1)

    private func tell(_ ending: GuestEnding, _ isKept: Bool) {
        let fate = isKept ? "; its memory is kept (--no-shutdown)" : ""
        switch ending.kind {
        case .powerOff, .reset: logger.info("the guest has ended: \(ending)\(fate)")
        case .crash: logger.error("the guest has crashed: \(ending)\(fate)")
        }
    }
}
