import AerostatHost
import AerostatMicroVM
import Foundation
import Testing

extension EndToEnd {
    /// The console on a terminal, a pipe and a socket.
    @Suite struct Consoles {
        private static let escape: UInt8 = 0x01

        /// Needs no KVM: the console exists before the guest.
        private func withTerminal(_ body: (TerminalGuest) async throws -> Void) async throws {
            try await withGuests { guests in
                let terminal = try TerminalGuest(
                    ["--incoming", "tcp:127.0.0.1:0", "--console", "stdio", "--control", guests.path("console.sock")]
                )
                try await terminal.awaitReady()
                #expect(terminal.mode.isRaw && !terminal.hasOwnMode)
                try await body(terminal)
                try await terminal.awaitEnd()
                #expect(terminal.hasOwnMode, "the terminal was left in raw mode")
            }
        }

        @Test func `Ctrl-A x ends the process; Ctrl-C and standard output belong to the guest`() async throws {
            try await withTerminal { terminal in
                terminal.type([0x03, 0x1C, 0x1A])
                terminal.type([Self.escape, UInt8(ascii: "h")])
                try await eventually("the help is shown") { terminal.log.contains("Ctrl-A x") }
                #expect(!terminal.hasEnded && terminal.read() == [], "standard output is the guest's alone")
                terminal.type([Self.escape, UInt8(ascii: "x")])
                try await terminal.awaitEnd()
                #expect(terminal.exitCode == 0)
            }
        }

        @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGALRM])
        func `a signal that ends the process leaves the terminal as it was`(_ number: Int32) async throws {
            try await withTerminal { terminal in
                terminal.signal(number)
                try await terminal.awaitEnd()
                #expect(terminal.exitCode == ([SIGINT, SIGTERM, SIGHUP].contains(number) ? 0 : -number))
            }
        }

        /// This was a race that needs many tries: a signal came after the announcement, but before the process handled it.
        @Test func `a process that has said that it is ready obeys a signal to end`() async throws {
            for _ in 0..<25 {
                try await withTerminal { terminal in
                    terminal.signal(SIGTERM)
                    try await terminal.awaitEnd()
                    #expect(terminal.exitCode == 0)
                }
            }
        }

        @Test func `a process that is stopped and continued restores its raw mode`() async throws {
            try await withTerminal { terminal in
                terminal.signal(SIGSTOP)
                terminal.restoreByHand()
                #expect(terminal.hasOwnMode)
                terminal.signal(SIGCONT)
                try await eventually("raw mode is back") { terminal.mode.isRaw }
                terminal.type([Self.escape, UInt8(ascii: "x")])
            }
        }

        private static let kvm: Comment = Comment(rawValue: MicroVM.unavailability ?? "")

        @Test(.enabled(if: MicroVM.unavailability == nil, kvm))
        func `a guest reads keys and answers; when it powers off, the terminal is restored`() async throws {
            try await withGuests { guests in
                let terminal = try TerminalGuest(["--guest", "tiny", "--console", "stdio", "--control", guests.path("console.sock")])
                try await terminal.awaitReady()
                var screen: [UInt8] = []
                // The keys include an interrupt and an end of input, and a Ctrl-A for the guest.
                for (keys, answer) in [([0x41], 0x42), ([0x03], 0x04), ([0x04], 0x05), ([1, 1], 0x02)] as [([UInt8], UInt8)] {
                    terminal.type(keys)
                    try await eventually("it answers \(keys)") {
                        screen += terminal.read()
                        return screen.last == answer
                    }
                }
                #expect(screen == [0x42, 0x04, 0x05, 0x02])
                terminal.type([UInt8(ascii: "p")])
                try await terminal.awaitEnd()
                #expect(terminal.exitCode == 0 && terminal.hasOwnMode, "\(terminal.log)")
            }
        }

        @Test(.enabled(if: MicroVM.unavailability == nil, kvm))
        func `input that is longer than the port's FIFO arrives completely`() async throws {
            try await withGuests { guests in
                let (input, control) = (guests.path("input"), guests.path("pipe.sock"))
                // At its end the input makes the guest power off.
                try Data([UInt8](repeating: 0x41, count: 300) + [UInt8(ascii: "p")]).write(to: URL(filePath: input))
                let arguments = "run --guest tiny --console stdio --control '\(control)'"
                let ended = try await Aerostat.run("/bin/sh", ["-c", "exec '\(Aerostat.path)' \(arguments) < '\(input)'"])
                #expect(ended.code == 0 && ended.output == String(repeating: "B", count: 300), "\(ended)")
            }
        }

        @Test func `a control socket that cannot be served leaves the terminal as it was`() async throws {
            let terminal = try TerminalGuest(
                ["--incoming", "tcp:127.0.0.1:0", "--console", "stdio", "--control", "/nonexistent/folder/x"]
            )
            try await terminal.awaitEnd()
            #expect(terminal.exitCode == 1 && terminal.hasOwnMode && terminal.log.contains("/nonexistent/folder/x"))
        }
    }
}
