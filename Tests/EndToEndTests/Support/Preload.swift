import Foundation

/// A library that overrides calls of the C library, to make a disk behave badly. Compiled with the machine's C compiler.
struct Preload {
    enum Library: String {
        case slowRename = "slow_rename", slowUnlink = "slow_unlink", failedRename = "failed_rename", slowSecondOpen = "slow_second_open"
    }

    static let isPossible = FileManager.default.isExecutableFile(atPath: compiler)
    static let remedy = "needs a C compiler (\(compiler))"
    private static let compiler = "/usr/bin/cc"

    /// The variables for the process that uses it.
    let environment: [String: String]

    /// - Parameters:
    ///   - seconds: how long a slow call takes.
    ///   - path: the file that a library watches.
    init(_ library: Library, seconds: Int = 0, path: String = "", _ guests: Guests) async throws {
        let built = guests.path(library.rawValue + ".so")
        let source = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Preload/\(library.rawValue).c").path
        let made = try await Aerostat.run(Self.compiler, ["-shared", "-fPIC", "-o", built, source, "-ldl"])
        guard made.code == 0 else { throw TooLate(description: "\(library.rawValue) cannot be built: \(made)") }
        environment = ["LD_PRELOAD": built, "SLOW_SECONDS": "\(seconds)", "SLOW_PATH": path]
    }
}
