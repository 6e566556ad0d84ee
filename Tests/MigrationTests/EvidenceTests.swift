import Foundation
import Testing

/// The article about lost pages names tests, broken engines and switches of the model: what it names exists, and no engine or switch is
/// left out.
@Suite("Evidence")
struct EvidenceTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func text(_ path: String) throws -> String { try String(contentsOf: root.appending(path: path), encoding: .utf8) }

    /// With each item of a list in one line.
    private static func article() throws -> String {
        try text("Sources/Migration/Migration.docc/NoPageIsLost.md").replacing(/\n +(?=\S)/, with: " ")
    }

    @Test func `Every test that the article names exists`() throws {
        let files = try FileManager.default.subpathsOfDirectory(atPath: Self.root.appending(path: "Tests").path)
        let sources = try files.filter { $0.hasSuffix("Tests.swift") }.map { try Self.text("Tests/" + $0) }.joined()
        let names = try Self.article().matches(of: /Tests: (.+)/).flatMap { $0.1.matches(of: /"([^"]+)"/).map(\.1) }
        #expect(names.count > 40)
        for name in names { #expect(sources.contains("\"\(name)\"") || sources.contains("func `\(name)`"), "no test has this name") }
    }

    @Test func `The article names the broken engines that there are`() throws {
        let named = try Self.article().matches(of: /- Broken engines: (.+)/).flatMap { $0.1.matches(of: /`(\w+)`/).map(\.1) }
        let engines = try Self.text("Sources/Host/BrokenEngine.swift").matches(of: /\n +case (\w+)\n/).map(\.1)
        #expect(engines.count > 20)
        #expect(Set(named) == Set(engines))
    }

    @Test func `The article names the breaks of the model that there are, and tools/model looks for a counter-example of each`() throws {
        let named = try Self.article().matches(of: /- Model: (.+)/).flatMap { $0.1.matches(of: /`([A-Z_]+)`/).map(\.1) }
        let switches = try Self.text("model/migration.pml").matches(of: /BREAK_([A-Z_]+)/).map(\.1)
        let rows = try Self.text("tools/model").matches(of: /\ncaught\|([A-Z_]+)\|/).map(\.1)
        #expect(rows.count > 20)
        #expect(Set(named) == Set(rows))
        // `BREAK_...` is how the model speaks of all of them.
        #expect(Set(switches) == Set(rows))
    }
}
