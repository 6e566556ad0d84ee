import AerostatGuestMemory
import AerostatHost
package import AerostatMachineHost
package import AerostatMigration
import AerostatMigrationIO
package import AerostatQMP
import Logging
package import TestSupport
import Testing

extension ScriptedGuest: LocalGuest {
    package func checkItself() throws(GuestError) -> SelfCheck {
        SelfCheck(
            pagesChecked: memory.pageCount,
            pagesWrong: 0,
            firstWrong: nil,
            pagesUsed: memory.pageCount,
            pagesFree: 0,
            pagesFreeTopOrder: 0,
            pagesHeld: 0,
            brokenInvariants: []
        )
    }

    package var powerButton: (any PowerButton)? { nil }

    package func shutdown() { end() }
}

/// A machine's host with a scripted guest, or with the place for one, and what clients would hear of it.
final class HostedMachine: Sendable {
    static let pages = 256

    let host: MachineHost
    private let commands: CommandSet
    private let heard = Monitor<[Event]>([])
    private let receiver = Locked<HostThread?>(nil)

    init(_ origin: MachineHost.Origin, keepsEndedGuest: Bool = false, sockets: Set<Int32> = []) throws {
        host = try MachineHost(origin, keepsEndedGuest: keepsEndedGuest, inheritedSockets: sockets, logger: Logger(label: "test"))
        commands = host.commands
        host.attach { [heard] event, _ in heard.update { $0.append(event) } }
    }

    /// One whose guest was made here and runs, unless it is paused.
    /// - Parameter requirements: what a destination must offer, by name.
    static func running(
        paused: Bool = false,
        keepsEndedGuest: Bool = false,
        requirements: String = "scripted"
    ) throws -> HostedMachine {
        let machine = try HostedMachine(.new, keepsEndedGuest: keepsEndedGuest)
        let memory = try GuestRAM(regionTable(pages: pages))
        for page in 0..<memory.pageCount { ScriptedGuest.scribble(memory, page, with: UInt64(page % 5)) }
        machine.host.hold(try makeGuest(memory, requirements))
        if !paused { try machine.host.start() }
        return machine
    }

    /// One that waits for a guest at `uri`.
    static func waiting(at uri: String, paused: Bool = false) throws -> HostedMachine {
        let machine = try HostedMachine(.incoming)
        let listener = Handover(try IncomingListener(try MigrationURI(uri)))
        let thread = try HostThread(name: "incoming") { [host = machine.host] in
            host.receive(listener.listener, shape: nil, shells: Shells(), paused: paused)
        }
        machine.receiver.withLock { $0 = thread }
        return machine
    }

    private final class Handover: Sendable {
        let listener: IncomingListener
        init(_ listener: consuming IncomingListener) { self.listener = listener }
    }

    struct Shells: GuestShells, GuestShell {
        func shell(for requirements: [DeviceSection]) throws(GuestError) -> any GuestShell {
            guard requirements.map(\.name) == ["scripted"] else { throw GuestError("it is not scripted") }
            return self
        }

        func make(in memory: GuestRAM) throws(GuestError) -> any LocalGuest { try HostedMachine.makeGuest(memory, "scripted") }
    }

    private static func makeGuest(_ memory: GuestRAM, _ requirements: String) throws(GuestError) -> ScriptedGuest {
        let requirements = [DeviceSection(name: requirements, version: 7, bytes: [9])]
        do {
            return try ScriptedGuest(memory, tracker: SoftwareTracker(memory), requirements: requirements, paused: true)
        } catch {
            throw GuestError("\(error)")
        }
    }

    var guest: ScriptedGuest {
        get throws { try #require(try host.presentGuest() as? ScriptedGuest) }
    }

    /// What a client would be answered.
    @discardableResult
    func ask(_ name: String, _ arguments: [String: JSONValue] = [:]) throws(QMPError) -> JSONValue {
        try commands.prepare(name, arguments).perform()
    }

    /// The words of a refusal; `nil` where it was done.
    func refusal(of name: String, _ arguments: [String: JSONValue] = [:]) -> String? {
        do throws(QMPError) { try ask(name, arguments) } catch { return error.description }
        return nil
    }

    var events: [Event] { heard.withLock { $0 } }

    /// Waits for an event, and says what came until then.
    func events(until event: Event) throws -> [Event] {
        let found = heard.wait(until: MonotonicClock.now() + .seconds(20)) { events in
            events.firstIndex(of: event).map { Array(events[...$0]) }
        }
        return try #require(found, "\(event) did not come; \(events) did")
    }

    /// Ends it as a process does.
    func end() {
        host.end(.asked(reason: "test"))
        _ = host.waitForEnd()
        receiver.withLock { $0 }?.join()
        host.shutdown()
    }
}

/// Runs a test with machines in a folder of its own.
func withMachines(_ body: (_ folder: TestFolder, _ keep: (HostedMachine) -> HostedMachine) throws -> Void) throws {
    let folder = try TestFolder()
    var machines: [HostedMachine] = []
    defer { for machine in machines { machine.end() } }
    try body(folder) { machine in
        machines.append(machine)
        return machine
    }
}
