import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// The hunt itself. That it catches broken engines is checked by hand (tools/stress-broken); here it must run, and find nothing in a
    /// correct engine.
    @Suite struct Stress {
        @Test func `three rounds find nothing, and report what they did`() async throws {
            try await withGuests { guests in
                let keep = guests.path("finds")
                let hunt = try await Aerostat.command("stress", "--rounds", "3", "--seed", "1", "--keep", keep, "--json")
                #expect(hunt.code == 0, "\(hunt)")
                let document = try JSONValue.parsed(hunt.output)
                #expect(document["rounds"]?.integer == 3 && document["finds"]?.integer == 0)
                #expect((document["pages-checked"]?.integer ?? 0) > 0)
                #expect(!FileManager.default.fileExists(atPath: keep))
            }
        }

        @Test func `the hunt is a program beside the command: without it exit 1, with the place where it should be`() async throws {
            try await withGuests { guests in
                let alone = guests.path("aerostat")
                try FileManager.default.copyItem(atPath: Aerostat.path, toPath: alone)
                let ended = try await Aerostat.run(alone, ["stress", "--rounds", "1"])
                #expect(ended.code == 1, "\(ended)")
                #expect(ended.errors.contains("the hunt is a program of its own, and is not there: \(guests.path("aerostat-stress"))"))
            }
        }
    }
}

extension JSONValue {
    fileprivate static func parsed(_ text: String) throws -> JSONValue { try JSONParser.parse(text.utf8, limits: .reply) }
}
