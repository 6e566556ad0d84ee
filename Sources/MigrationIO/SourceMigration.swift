import AerostatGuestMemory
public import AerostatHost
public import AerostatMigration

/// One outgoing migration, on its own thread: it connects, and a `SourceDriver` performs what the session decides. Keeps the progress.
public final class SourceMigration: Sendable {
    /// Callbacks for the owner of the guest, made on the migration's thread.
    public struct Owner: Sendable {
        public var statusChanged: @Sendable (MigrationReport.Status) -> Void
        public var roundBegan: @Sendable (Int) -> Void
        /// Whether the guest runs. It does not if a person has paused it.
        public var isGuestRunning: @Sendable () -> Bool
        /// The engine is about to pause the guest. From now on its owner neither pauses nor resumes it, until the status says how the
        /// migration ended. Returns whether the guest runs at this moment; the destination continues accordingly.
        public var handOver: @Sendable () -> Bool

        public init(
            statusChanged: @escaping @Sendable (MigrationReport.Status) -> Void,
            roundBegan: @escaping @Sendable (Int) -> Void,
            isGuestRunning: @escaping @Sendable () -> Bool,
            handOver: @escaping @Sendable () -> Bool
        ) {
            self.statusChanged = statusChanged
            self.roundBegan = roundBegan
            self.isGuestRunning = isGuestRunning
            self.handOver = handOver
        }
    }

    let guest: any Guest
    let parameters: MigrationParameters
    let owner: Owner
    let limits: MigrationLimits
    let doorbell: Doorbell
    private let shared = Monitor(Shared())

    struct Shared {
        var progress = MigrationProgress()
        var outcome: SourceSession.Outcome?
        var stop: Stop?
    }

    /// Why the migration must stop.
    enum Stop: Sendable {
        case cancelled
        /// The guest has ended, for this reason.
        case guestEnded(String)
    }

    /// - Parameters:
    ///   - guest: stays the caller's. After `completed` and `unknown` it is paused.
    public convenience init(guest: any Guest, parameters: MigrationParameters, owner: Owner) throws(SystemError) {
        try self.init(guest: guest, parameters: parameters, owner: owner, limits: MigrationLimits())
    }

    /// As the public initialiser, with other limits; for tests of silent peers.
    package init(guest: any Guest, parameters: MigrationParameters, owner: Owner, limits: MigrationLimits) throws(SystemError) {
        self.limits = limits
        self.guest = guest
        self.parameters = parameters
        self.owner = owner
        doorbell = try Doorbell()
        shared.withLock { shared in
            shared.progress.session.status = .setup
            shared.progress.session.ram.total = Int(guest.memory.regions.byteCount)
        }
    }

    /// Starts the migration.
    /// - Parameter connect: makes the link. Called on the migration's thread, which alone uses the link.
    public func start(_ connect: @escaping @Sendable (Doorbell) throws(TransportError) -> any Transport) throws(SystemError) {
        _ = try HostThread(name: "migration") { [self] in run(connect) }
    }

    /// Runs the migration on the calling thread.
    package func run(_ connect: (Doorbell) throws(TransportError) -> any Transport) {
        let outcome: SourceSession.Outcome
        let start = limits.clock()
        var link: (any Transport)?
        do throws(TransportError) {
            let made = try connect(doorbell)
            link = made
            outcome = try SourceDriver(self, link: made).run()
        } catch {
            outcome =
                switch stop {
                case nil: .failed(.link("\(error)"))
                case .cancelled: .cancelled("cancelled before the destination was reached")
                case .guestEnded(let reason): .failed(.guest(reason))
                }
            // Without a driver, nobody has measured the time.
            let took = start.duration(to: limits.clock())
            publish { progress in
                progress.session.totalTime = Int(took.inMilliseconds.rounded(.up))
                switch outcome {
                case .cancelled(let reason): (progress.session.status, progress.session.errorDescription) = (.cancelled, reason)
                case .failed(let failure): (progress.session.status, progress.session.errorDescription) = (.failed, "\(failure)")
                case .completed, .unknown: preconditionFailure("a migration without a link did not begin")
                }
            }
        }
        // The owner is told about the end before anybody who waits for the outcome.
        owner.statusChanged(report.status)
        shared.update { $0.outcome = outcome }
        // If a disk is still busy, the link's deinit waits for it here, when nobody waits for the outcome any more.
        withExtendedLifetime(link) {}
    }

    /// Asks the migration to end with the guest here. It may be too late; the outcome tells.
    public func cancel() { stop(.cancelled) }

    /// The guest has ended by itself, so nothing useful would arrive. The migration fails with this reason, unless it is over.
    public func guestEnded(_ reason: String) { stop(.guestEnded(reason)) }

    private func stop(_ stop: Stop) {
        shared.withLock { $0.stop = $0.stop ?? stop }
        doorbell.ring()
    }

    /// The progress so far; anybody may read it.
    public var progress: MigrationProgress { shared.withLock { $0.progress } }
    /// The report so far.
    public var report: MigrationReport { progress.report }
    /// How it ended; `nil` while it runs.
    public var outcome: SourceSession.Outcome? { shared.withLock { $0.outcome } }

    /// Sleeps until the migration is over.
    public func wait() -> SourceSession.Outcome {
        shared.wait { $0.outcome }!
    }

    var stop: Stop? { shared.withLock { $0.stop } }

    func publish(_ change: (inout MigrationProgress) -> Void) {
        shared.withLock { change(&$0.progress) }
    }
}

extension SourceMigration {
    /// Starts the migration to a URI.
    public func start(to uri: MigrationURI) throws(SystemError) {
        publish { $0.destination = "\(uri)" }
        try start { [limits, parameters] (doorbell) throws(TransportError) in
            switch uri {
            case .socket(let address):
                let socket: OwnedDescriptor
                do throws(SocketError) {
                    socket = try connectSocket(to: address, timeout: limits.greeting, unlessRung: doorbell)
                } catch {
                    throw .system(operation: "reach the destination", reason: "\(error)")
                }
                return try SocketTransport(socket, doorbell: doorbell)
            case .descriptor(let number):
                return try SocketTransport(try adoptSocket(number), doorbell: doorbell)
            case .file(let path):
                return try FileTransport(path, sync: parameters.imageSync, doorbell: doorbell)
            }
        }
    }
}

/// Takes over a socket that this process inherited, after checking that it is one.
func adoptSocket(_ number: Int32) throws(TransportError) -> OwnedDescriptor {
    guard isConnectedStreamSocket(number) else {
        throw .system(operation: "use descriptor \(number)", reason: "it is not a connected stream socket")
    }
    noticeDeadPeer(of: number)
    return OwnedDescriptor(adopting: number)
}
