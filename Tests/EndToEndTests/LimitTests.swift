import Foundation
import Testing

extension EndToEnd {
    /// If a process has too little of a resource, it prints one line and does not crash.
    @Suite struct Limits {
        /// A sanitizer reserves terabytes of address space.
        private static let isSanitized = ["ASAN_OPTIONS", "TSAN_OPTIONS"].contains { ProcessInfo.processInfo.environment[$0] != nil }
        private static let nobody = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

        private static func mayNobodyRunIt() -> Bool {
            let process = Process()
            process.executableURL = URL(filePath: nobody[0])
            process.arguments = Array(nobody.dropFirst()) + ["/usr/bin/test", "-x", Aerostat.path]
            process.standardError = FileHandle.nullDevice
            guard geteuid() == 0, (try? process.run()) != nil else { return false }
            process.waitUntilExit()
            return process.terminationStatus == 0
        }

        private static func expectOneLineOfEach(_ limit: [String], _ name: String, as user: [String] = []) async throws {
            let commands = [
                ["run", "--memory", "16MiB"], ["run", "--incoming", "tcp:127.0.0.1:0"], ["migrate", "tcp:127.0.0.1:1"], ["status"],
            ]
            try await withGuests { guests in
                for command in commands {
                    let words = ["/usr/bin/prlimit"] + limit + user + [Aerostat.path] + command + ["--control", guests.path("a")]
                    try await expectOneLine(words, name)
                }
                try await expectOneLine(["/usr/bin/prlimit"] + limit + user + [Aerostat.path, "demo", "--memory", "16MiB"], name)
            }
        }

        private static func expectOneLine(_ words: [String], _ name: String) async throws {
            let ended = try await Aerostat.run(words[0], Array(words.dropFirst()))
            #expect(ended.code == 1 && ended.errors.contains("(ulimit \(name))"), "\(words.joined(separator: " ")): \(ended)")
            #expect(ended.errors.split(separator: "\n").count <= 1, "\(ended)")
        }

        @Test(arguments: [4, 6, 8, 12]) func `Few descriptors`(_ count: Int) async throws {
            try await Self.expectOneLineOfEach(["--nofile=\(count)"], "-n")
        }

        @Test(.disabled(if: isSanitized), arguments: [100, 150]) func `Little address space`(_ megabytes: Int) async throws {
            try await Self.expectOneLineOfEach(["--as=\(megabytes * 1_000_000)"], "-v")
        }

        @Test(.enabled(if: mayNobodyRunIt(), "takes root, and a user without privileges"), arguments: [1, 3, 6])
        func `Few threads`(_ count: Int) async throws { try await Self.expectOneLineOfEach(["--nproc=\(count)"], "-u", as: Self.nobody) }

        @Test(.disabled(if: isSanitized), arguments: [20, 28, 34])
        func `A guest that lacks only a little of a resource is refused too`(_ count: Int) async throws {
            try await withGuests { guests in
                let run = [Aerostat.path, "run", "--memory", "16MiB", "--control", guests.path("a")]
                try await Self.expectOneLine(["/usr/bin/prlimit", "--nofile=\(count)"] + run, "-n")
                try await Self.expectOneLine(["/usr/bin/prlimit", "--as=\(count * 10_000_000)"] + run, "-v")
            }
        }
    }
}
