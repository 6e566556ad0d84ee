import Foundation
import Host
import MicroVM
import Testing

extension EndToEnd {
    /// The console on a terminal, a pipe and a socket.
    @Suite struct Consoles {
        private static let escape: UInt8 = 0x01

        /// Needs no KVM: the console is there before the guest.
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

        @Test func `Ctrl-A x ends the process; Ctrl-C is the guest's, and so is standard output: READY is on standard error`() async throws {
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
                #expect(terminal.exitCode == ([SIGINT, SIGTERM].contains(number) ? 0 : -number))
            }
        }

        @Test func `a stopped and continued process has its raw mode again`() async throws {
            try await withTerminal { terminal in
                terminal.signal(SIGSTOP)
                terminal.restoreByHand()
                #expect(terminal.hasOwnMode)
                terminal.signal(SIGCONT)
                try await eventually("raw mode is back") { terminal.mode.isRaw }
                terminal.type([Self.escape, UInt8(ascii: "x")])
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
