import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import TestSupport
import Testing

/// A tiny guest's machine and the machine that it moves to, in one process, joined by a socket pair. Each side has a thread of its own.
final class MachinePair: Sendable {
    let source: TinyMachine
    let migration: SourceMigration
    private let tracker: TrackerKind?
    private let received = Monitor(Received())

    struct Received {
        var machine: MicroVM?
        var outcome: DestinationMigration.Outcome?
    }

    init(_ guest: TinyGuest, tracker: TrackerKind?, _ change: (inout MigrationParameters) -> Void = { _ in }) throws {
        source = try TinyMachine(guest, tracker: tracker)
        self.tracker = tracker
        var parameters = MigrationParameters()
        parameters.verifies = true
        change(&parameters)
        migration = try makeMigration(of: source.machine, parameters)
    }

    /// Continues with a guest that is in a machine already.
    init(moving machine: MicroVM, _ guest: TinyGuest, tracker: TrackerKind?) throws {
        source = TinyMachine(guest, in: machine)
        self.tracker = tracker
        var parameters = MigrationParameters()
        parameters.verifies = true
        migration = try makeMigration(of: machine, parameters)
    }

    /// Moves the guest.
    /// - Parameters:
    ///   - offering: the devices that the destination can have.
    ///   - tamper: changes what the destination is told of the source's requirements.
    func run(
        offering: [DeviceMaker] = DeviceMaker.standard,
        tamper: @escaping @Sendable ([DeviceSection]) -> [DeviceSection] = { $0 }
    ) throws -> SourceSession.Outcome {
        let (here, there) = try connectedSockets()
        let (tracker, received) = (tracker, received)
        _ = try HostThread(name: "incoming") {
            let outcome: DestinationMigration.Outcome
            do {
                let doorbell = try Doorbell()
                let makeGuest: DestinationMigration.GuestFactory = { (regions, requirements) throws(GuestError) in
                    let requirements = tamper(requirements)
                    let machine = try MicroVM(shell: regions, requirements: requirements, offering: offering, tracker: tracker)
                    received.update { $0.machine = machine }
                    return machine
                }
                outcome = DestinationMigration(
                    try makeSocketTransport(OwnedDescriptor(adopting: there), doorbell: doorbell, plainRing: false),
                    shape: nil,
                    doorbell: doorbell,
                    limits: MigrationLimits(),
                    makeGuest: makeGuest
                ).run()
            } catch {
                outcome = .failed("\(error)")
            }
            received.update { $0.outcome = outcome }
        }
        try migration.start { (doorbell) throws(TransportError) in
            try makeSocketTransport(OwnedDescriptor(adopting: here), doorbell: doorbell, plainRing: false)
        }
        return migration.wait()
    }

    var destination: MicroVM? { received.withLock { $0.machine } }

    func destinationOutcome() -> DestinationMigration.Outcome { received.wait { $0.outcome }! }
}

func makeMigration(of machine: MicroVM, _ parameters: MigrationParameters) throws -> SourceMigration {
    let owner = SourceMigration.Owner(
        statusChanged: { _ in },
        roundBegan: { _ in },
        isGuestRunning: { machine.isRunning },
        handOver: { machine.isRunning }
    )
    return try SourceMigration(guest: machine, parameters: parameters, owner: owner)
}
