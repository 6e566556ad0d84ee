import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// The hunt itself: what it finds is seen by hand, with broken engines; here that it plays, and finds nothing where nothing is.
    @Suite struct Stress {
        @Test func `three rounds find nothing, and say what they did`() async throws {
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
    }
}

extension JSONValue {
    fileprivate static func parsed(_ text: String) throws -> JSONValue { try JSONParser.parse(text.utf8, limits: .reply) }
}
