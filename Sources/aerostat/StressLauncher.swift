import ArgumentParser
import CommandSupport
import Foundation
import Glibc

/// `aerostat stress`: becomes the program that hunts, which lies beside this one.
struct StressLauncher: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stress",
        abstract: "Hunts for lost pages: random guests, migrations and injuries, until something is wrong or the time is over.",
        discussion: "The hunt is a program of its own, aerostat-stress: 'aerostat stress --help' says what it takes."
    )

    @Argument(parsing: .captureForPassthrough, help: ArgumentHelp("What the hunt takes.", valueName: "argument"))
    var arguments: [String] = []

    private struct CannotStart: Error, CustomStringConvertible {
        let description: String
    }

    func run() throws {
        let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
            .appending(path: "aerostat-stress").path
        let words = [program] + arguments
        let pointers: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
        // Returns only where it fails.
        unsafe execv(program, pointers)
        let code = errno
        throw CannotStart(
            description: code == ENOENT
                ? "the hunt is a program of its own, and is not there: \(program)"
                : "could not start the hunt (\(program)): \(unsafe String(cString: strerror(code)))"
        )
    }
}
