import AerostatGuestMemory
import AerostatHost
import AerostatMachineHost
import AerostatMigration
import AerostatQMP
import Foundation
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct MachineHostTests {
    @Test func `stop and cont do what they say once, and tell it`() throws {
        try withMachines { _, keep in
            let machine = keep(try .running())
            try machine.ask("stop")
            try machine.ask("stop")
            #expect(try machine.ask("query-status") == ["status": "paused", "running": false])
            #expect(try !machine.guest.isRunning)
            try machine.ask("cont")
            try machine.ask("cont")
            #expect(try machine.guest.calls == [.resume, .pause, .resume])
            #expect(machine.events == [.resume, .stop, .resume])
        }
    }

    @Test func `a guest that was started paused runs at the first cont, and a late start changes nothing`() throws {
        try withMachines { _, keep in
            let machine = keep(try .running(paused: true))
            #expect(machine.host.runState == .preLaunch)
            try machine.ask("cont")
            try machine.ask("stop")
            try machine.host.start()
            #expect(machine.host.runState == .paused)
        }
    }

    @Test func `a guest that does not wake up stays as it was, and nobody hears that it runs`() throws {
        try withMachines { _, keep in
            let machine = keep(try .running())
            try machine.ask("stop")
            try machine.guest.refuseToResume()
            #expect(machine.refusal(of: "cont") == "it does not wake up")
            #expect(machine.host.runState == .paused)
            #expect(machine.events == [.resume, .stop])
        }
    }

    @Test func `query-commands and refusals follow what is registered`() throws {
        try withMachines { _, keep in
            let machine = keep(try .running())
            #expect(machine.host.commands.names.contains("query-status"))
            #expect(machine.refusal(of: "balloon") == "The command balloon has not been found")
            #expect(machine.refusal(of: "system_powerdown") == "the model guest has no power button; quit ends it")
            #expect(try machine.ask("check-guest")["pages-checked"] == .integer(HostedMachine.pages))
            #expect(
                machine.refusal(of: "pmemsave", ["val": .integer(1 << 40), "filename": "/x"])?.hasPrefix("address 0x10000000000 is behind")
                    == true
            )
        }
    }

    @Test func `what is behind the eighth client may not have is what takes long`() throws {
        try withMachines { _, keep in
            let machine = keep(try .running())
            let commands = machine.host.commands
            let arguments: [String: [String: JSONValue]] = ["migrate": ["uri": "x"], "pmemsave": ["val": 0, "filename": "x"]]
            let long = try commands.names.filter { try !commands.prepare($0, arguments[$0] ?? [:]).isBrief }
            #expect(long == ["check-guest", "migrate", "pmemsave"])
        }
    }

    @Test func `pmemsave writes what the guest's memory holds, from any byte to any byte`() throws {
        try withMachines { folder, keep in
            let machine = keep(try .running())
            let memory = try machine.guest.memory
            for (address, size) in [(0, nil), (4097, 5 * 4096), (12, 3), (255 * 4096 + 1, 4095)] as [(Int, Int?)] {
                let path = folder["memory"]
                try machine.ask("pmemsave", SaveMemoryArguments(address: address, size: size, path: path).arguments)
                let written = Array(try Data(contentsOf: URL(filePath: path)))
                let expected = try memory.read(
                    at: GuestAddress(UInt64(address)),
                    byteCount: size ?? HostedMachine.pages * GuestPage.size
                )
                #expect(written == expected, "\(address), \(size ?? 0)")
            }
        }
    }

    @Test func `a change is made under the lock, announced, and refused where there is no machine`() throws {
        try withMachines { _, keep in
            let change = Event.other("LAMP_CHANGE", data: nil)
            let machine = keep(try .running())
            try machine.host.changeMachine(orElse: "wait") { _ in [change] }
            #expect(machine.events == [.resume, change])
            let empty = keep(try HostedMachine(.image))
            #expect(throws: QMPError("there is no guest here yet: its image is being read")) {
                try empty.host.changeMachine(orElse: "wait") { _ in [] }
            }
        }
    }

    // MARK: Ends

    @Test func `the first reason to end counts, and clients hear it once`() throws {
        let machine = try HostedMachine.running()
        try machine.ask("quit")
        machine.host.end(.failed)
        #expect(machine.host.waitForEnd() == .asked(reason: "host-qmp-quit"))
        machine.end()
        #expect(machine.events == [.resume, .shutdown(guest: false, reason: "host-qmp-quit")])
    }

    @Test func `a guest that ends takes the process with it, and a failure is a crash`() throws {
        for (kind, state) in [(GuestEnding.Kind.powerOff, RunState.shutdown), (.crash, .guestPanicked)] {
            let machine = try HostedMachine.running()
            machine.host.guestEnded(GuestEnding(kind, "it ended"))
            let ending = machine.host.waitForEnd()
            #expect(ending.isFailure == (kind == .crash))
            #expect(machine.host.runState == state)
            machine.end()
            let reason = kind == .crash ? "guest-panic" : "guest-shutdown"
            #expect(machine.events == [.resume, .shutdown(guest: true, reason: reason)])
        }
    }

    @Test func `a guest that is kept can be looked at, and does not run again`() throws {
        try withMachines { _, keep in
            let machine = keep(try .running(keepsEndedGuest: true))
            machine.host.guestEnded(GuestEnding(.powerOff, "it powered off"))
            _ = try machine.events(until: .shutdown(guest: true, reason: "guest-shutdown"))
            #expect(machine.refusal(of: "cont") == "the guest has ended, and is kept only to be looked at; start it anew")
            #expect(machine.refusal(of: "migrate", ["uri": "unix:/x"]) == "the guest has ended: there is nothing to migrate")
            #expect(machine.refusal(of: "check-guest") == nil)
        }
    }
}
