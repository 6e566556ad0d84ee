import AerostatHost
import AerostatMachineHost
import AerostatMigration
import AerostatMigrationIO
import AerostatQMP
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct HostMigrationTests {
    @Test func `a guest moves: it runs in one place at any time, both sides say so, and it does not come back`() throws {
        try withMachines { folder, keep in
            let destination = keep(try .waiting(at: "unix:" + folder["socket"]))
            #expect(destination.refusal(of: "cont") == "there is no guest here yet: an incoming migration is awaited")
            let source = keep(try .running())
            try source.ask("migrate", ["uri": .string("unix:" + folder["socket"])])
            let told = try source.events(until: .migration(.completed))
            #expect(told.filter { $0 == .stop || $0 == .resume } == [.resume, .stop])
            #expect(
                told.filter { if case .migrationPass = $0 { false } else { true } } == [
                    .resume, .migration(.setup), .migration(.active), .stop, .migration(.device), .migration(.completed),
                ]
            )
            #expect(source.host.runState == .postMigrate)
            #expect(try destination.events(until: .resume) == [.resume])
            #expect(destination.host.runState == .running)
            #expect(try destination.guest.isRunning && !source.guest.isRunning)
            #expect(source.refusal(of: "cont", ["force": true]) == "the guest has gone: the destination said that it runs there")
            #expect(source.refusal(of: "migrate", ["uri": "unix:/x"]) == "the guest has gone to another process already")
            #expect(source.host.report.status == .completed)
        }
    }

    @Test func `a guest that is stopped as soon as it came: clients hear first that it ran`() throws {
        try withMachines { folder, keep in
            let destination = keep(try .waiting(at: "unix:" + folder["socket"]))
            let source = keep(try .running())
            try source.ask("migrate", ["uri": .string("unix:" + folder["socket"])])
            _ = try source.events(until: .migration(.completed))
            try destination.ask("stop")
            #expect(try destination.events(until: .stop) == [.resume, .stop])
        }
    }

    @Test func `a paused guest stays paused, and one that runs where it is to be paused`() throws {
        try withMachines { folder, keep in
            for (paused, keepsPaused) in [(true, false), (false, true)] {
                let uri = "unix:" + folder["socket-\(paused)"]
                let destination = keep(try .waiting(at: uri, paused: keepsPaused))
                let source = keep(try .running(paused: paused))
                try source.ask("migrate", ["uri": .string(uri)])
                _ = try source.events(until: .migration(.completed))
                #expect(destination.host.runState == .paused)
                try destination.ask("cont")
                #expect(try destination.events(until: .resume) == [.resume])
            }
        }
    }

    @Test func `where nobody listens the guest runs on, and the next migration may begin`() throws {
        try withMachines { folder, keep in
            let source = keep(try .running())
            let uri = "unix:" + folder["socket"]
            try source.ask("migrate", ["uri": .string(uri)])
            _ = try source.events(until: .migration(.failed))
            #expect(source.host.runState == .running)
            #expect(source.events == [.resume, .migration(.setup), .migration(.failed)])
            let destination = keep(try .waiting(at: uri))
            try source.ask("migrate", ["uri": .string(uri)])
            _ = try source.events(until: .migration(.completed))
            #expect(destination.host.runState == .running)
        }
    }

    @Test func `a guest that is refused stays at its source, and who waited for it ends as failed`() throws {
        try withMachines { folder, keep in
            let uri = "unix:" + folder["socket"]
            let destination = try HostedMachine.waiting(at: uri)
            let source = keep(try .running(requirements: "unheard of"))
            try source.ask("migrate", ["uri": .string(uri)])
            _ = try source.events(until: .migration(.failed))
            #expect(source.host.runState == .running)
            #expect(source.host.report.errorDescription?.contains("it is not scripted") == true)
            #expect(destination.host.waitForEnd() == .failed && destination.host.runState == .inMigrate)
            destination.end()
            #expect(destination.events.isEmpty, "it was told already why it ends, and ends once")
        }
    }

    @Test func `one migration at a time, and cancel ends it with the guest here`() throws {
        try withMachines { folder, keep in
            // Takes the connection, and says nothing.
            let silent = try ListeningSocket(.unix(path: folder["socket"]))
            let source = keep(try .running())
            let uri = "unix:" + folder["socket"]
            try source.ask("migrate", ["uri": .string(uri)])
            #expect(source.refusal(of: "migrate", ["uri": .string(uri)]) == "There's a migration process in progress")
            try source.ask("stop")
            try source.ask("migrate_cancel")
            _ = try source.events(until: .migration(.cancelled))
            #expect(source.host.runState == .paused)
            try source.ask("migrate_cancel")
            _ = silent.number
        }
    }

    @Test func `while a migration switches the guest over nobody else stops, runs, checks, changes or moves it`() throws {
        try withMachines { folder, keep in
            let destination = keep(try .waiting(at: "unix:" + folder["socket"]))
            let source = keep(try .running())
            let refusals = Locked<[String?]>([])
            try source.guest.misbehaveWhileSaving {
                refusals.withLock { refusals in
                    refusals = [
                        source.refusal(of: "stop"), source.refusal(of: "cont", ["force": true]), source.refusal(of: "check-guest"),
                        source.refusal(of: "migrate", ["uri": "unix:/x"]), source.host.runState.rawValue,
                    ]
                    do throws(QMPError) { try source.host.changeMachine(orElse: "wait") { _ in [] } } catch {
                        refusals.append(error.description)
                    }
                }
            }
            try source.ask("migrate", ["uri": .string("unix:" + folder["socket"])])
            _ = try source.events(until: .migration(.completed))
            #expect(
                refusals.withLock { $0 } == [
                    "the guest is paused already: a migration is switching it over",
                    "a migration is switching the guest over; it decides where the guest runs",
                    "a migration is switching the guest over; check it when that is done", "There's a migration process in progress",
                    "finish-migrate", "a migration is switching the guest over; wait",
                ]
            )
            #expect(destination.host.runState == .running)
        }
    }

    @Test func `a guest that ends while it moves: the migration fails first, then the end is told, and the report can be asked for`() throws
    {
        try withMachines { folder, keep in
            let silent = try ListeningSocket(.unix(path: folder["socket"]))
            let source = keep(try .running())
            try source.ask("migrate", ["uri": .string("unix:" + folder["socket"])])
            source.host.guestEnded(GuestEnding(.powerOff, "it powered off"))
            let told = try source.events(until: .shutdown(guest: true, reason: "guest-shutdown"))
            #expect(told == [.resume, .migration(.setup), .migration(.failed), .shutdown(guest: true, reason: "guest-shutdown")])
            let words = "the guest ended during the migration: it powered off"
            #expect(source.host.report.errorDescription?.contains(words) == true, "\(source.host.report.errorDescription ?? "")")
            let asked = MonotonicClock.now()
            #expect(source.host.waitForEnd() == .guest(GuestEnding(.powerOff, "it powered off")))
            #expect(asked.duration(to: MonotonicClock.now()) > .milliseconds(500), "whoever watches has no time to ask")
            _ = silent.number
        }
    }

    @Test func `a descriptor is used once, and only one that the process was started with`() throws {
        try withMachines { _, keep in
            let (near, far) = try connectedSockets()
            let machine = keep(try HostedMachine(.new, sockets: [near]))
            let other = keep(try .running())
            machine.host.hold(try other.guest)
            let refusal = "descriptor \(far) is no connected stream socket that this process was started with, or was used before"
            #expect(machine.refusal(of: "migrate", ["uri": .string("fd:\(far)")]) == refusal)
            #expect(machine.host.runState == .preLaunch && machine.host.report.status == .none)
            try machine.ask("migrate", ["uri": .string("fd:\(near)")])
            try machine.ask("migrate_cancel")
            _ = try machine.events(until: .migration(.cancelled))
            #expect(machine.refusal(of: "migrate", ["uri": .string("fd:\(near)")])?.hasSuffix("or was used before") == true)
            _ = OwnedDescriptor(adopting: far)
        }
    }

    // MARK: Images

    @Test func `into an image and back: the image is one guest's, says when that has moved on, and forgets it when it is here again`()
        throws
    {
        try withMachines { folder, keep in
            let image = folder["image"]
            let first = keep(try .running())
            try first.ask("migrate", ["uri": .string("file:" + image)])
            _ = try first.events(until: .migration(.completed))
            #expect(first.refusal(of: "cont")?.hasPrefix("the guest is in its image \(image) now.") == true)
            #expect(first.refusal(of: "migrate", ["uri": "unix:/x"]) == "the guest has gone to its image \(image) already")

            let second = keep(try HostedMachine(.image))
            #expect(second.host.runState == .restoreVM)
            #expect(try second.host.restore(Restoration(path: image, shells: HostedMachine.Shells())))
            #expect(second.events == [.resume] && second.host.runState == .running)
            let third = keep(try HostedMachine(.image))
            #expect(throws: (any Error).self) { try third.host.restore(Restoration(path: image, shells: HostedMachine.Shells())) }

            // Nobody is there: it begins to leave, the image says so, and then that it is here.
            try second.ask("migrate", ["uri": .string("file:" + folder["other"])])
            _ = try second.events(until: .migration(.completed))
            #expect(try hasLeft(image))
            try second.ask("cont", ["force": true])
            #expect(try !hasLeft(image))
            #expect(second.host.runState == .running)
        }
    }

    @Test func `an image's guest that is to be paused is`() throws {
        try withMachines { folder, keep in
            let first = keep(try .running())
            try first.ask("migrate", ["uri": .string("file:" + folder["image"])])
            _ = try first.events(until: .migration(.completed))
            let second = keep(try HostedMachine(.image))
            var restoration = Restoration(path: folder["image"], shells: HostedMachine.Shells())
            (restoration.paused, restoration.preloads) = (true, true)
            let count = Locked(0)
            restoration.prepare = { guest throws(GuestError) in count.withLock { $0 += guest.isRunning ? 0 : 1 } }
            #expect(try second.host.restore(restoration))
            #expect(second.events.isEmpty && second.host.runState == .paused)
            #expect(count.withLock { $0 } == 1)
        }
    }

    private func hasLeft(_ path: String) throws -> Bool { try GuestImage(opening: path).hasLeft }
}
