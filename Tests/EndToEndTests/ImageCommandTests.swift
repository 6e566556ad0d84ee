import AerostatMigration
import AerostatMigrationIO
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// Guests in files, as a person uses them.
    @Suite struct Images {
        private func image(_ words: String...) async throws -> Ended { try await Aerostat.run(Aerostat.path, ["image"] + words) }

        @Test func `an image restored with --paused and written again is equal, page for page and in its devices`() async throws {
            try await withGuests { guests in
                let (first, second) = (guests.path("first.image"), guests.path("second.image"))
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                #expect(try await source.migrate(to: "file:" + first).code == 0)
                let restored = try await guests.run("--restore", "file:" + first, "--paused")
                #expect(try await restored.state() == .paused)
                #expect(try await restored.migrate(to: "file:" + second).code == 0)
                let compare = try await image("compare", first, second)
                #expect(compare.code == 0 && compare.output.contains("no difference"), "\(compare)")

                #expect(try await restored.command("resume").code == 1)
                #expect(try await restored.command("resume", "--force").code == 0)
                try await restored.expectClean()
                #expect(try await restored.migrate(to: "file:" + second).code == 0)
                let other = try await image("compare", first, second)
                #expect(other.code == 2 && other.output.contains("the first is page"), "\(other)")
            }
        }

        @Test func `a damaged, a torn and a foreign file are refused with name, position and exit code`() async throws {
            try await withGuests { guests in
                let path = guests.path("guest.image")
                let source = try await guests.run("--memory", "64MiB")
                #expect(try await source.migrate(to: "file:" + path).code == 0)
                let document = try JSONParser.parse(Array(try await image("info", path, "--json").output.utf8), limits: .reply)
                let summary = try document.decode(ImageSummary.self)
                #expect(
                    summary.memoryBytes == 64 << 20 && summary.storedBytes > 0
                        && summary.diskBytes <= summary.storedBytes * 102 / 100 + 65536
                )

                // Page 0 holds the guest's boot header.
                let file = try FileHandle(forUpdating: URL(filePath: path))
                try file.seek(toOffset: 2 << 20)
                try file.write(contentsOf: Data("damage".utf8))
                let verify = try await image("verify", path)
                #expect(verify.code == 2 && verify.output.contains("page 0 is damaged (offset 2097152)"), "\(verify)")
                let preload = try await Aerostat.command("run", "--control", guests.path("x"), "--restore", "file:" + path, "--preload")
                #expect(preload.code == 1 && preload.text.contains("page 0 is damaged"), "\(preload)")

                try file.truncate(atOffset: 40 << 20)
                for words in [
                    ["image", "info", path], ["image", "verify", path],
                    ["run", "--control", guests.path("x"), "--restore", "file:" + path],
                ] {
                    let refused = try await Aerostat.run(Aerostat.path, words)
                    #expect(refused.code == 1 && refused.text.contains("\(path) is refused: it is cut off"), "\(refused)")
                }
                let foreign = try await image("info", "/etc/passwd")
                #expect(foreign.code == 1 && foreign.text.contains("no Aerostat guest image"), "\(foreign)")
            }
        }
    }
}
