import AerostatMigration
import AerostatQMP
import Testing

extension GuestChild {
    /// What holds after every migration that did not reach commit: the guest runs here, undamaged, with all the memory that it had lent.
    func expectGuestIsStillHere(
        _ expected: MigrationReport.Status = .failed,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        #expect(try await state() == .running, "\(log)", sourceLocation: sourceLocation)
        #expect(try await report().status == expected, "\(log)", sourceLocation: sourceLocation)
        #expect(log.contains("the guest is still here"), "\(log)", sourceLocation: sourceLocation)
        try await expectClean(sourceLocation: sourceLocation)
    }

    /// The guest finds nothing wrong in its memory, and its balloon driver has given back what it held.
    func expectClean(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await eventually("the balloon driver gives back what it holds") { try await check().pagesHeld == 0 }
        let words = try await command("check")
        #expect(words.code == 0 && words.output.hasPrefix("clean"), "\(words)", sourceLocation: sourceLocation)
    }

    /// A destination whose guest did not come ends on its own and says why.
    func expectGuestDidNotCome(_ words: String..., sourceLocation: SourceLocation = #_sourceLocation) async throws {
        #expect(try await exitCode() == 1, "\(log)", sourceLocation: sourceLocation)
        for word in words + ["the guest is not here"] {
            #expect(log.contains(word), "\(log)", sourceLocation: sourceLocation)
        }
    }

    /// The guest is not running here: its memory does not change.
    func expectMemoryStandsStill(_ guests: Guests, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let before = try await memory(into: guests.path("before.ram"))
        let after = try await memory(into: guests.path("after.ram"))
        // Compared here, because a failed expectation would print both in full, which takes more memory than the machine has.
        let isSame = before == after
        #expect(isSame, "the guest writes its memory", sourceLocation: sourceLocation)
    }
}

extension Ended {
    /// A migration that failed, in words for people: what happened and where the guest is, in a line or two, without internals of the tool.
    func expectFailure(code: Int32 = 1, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(self.code == code, "\(self)", sourceLocation: sourceLocation)
        for word in words { #expect(text.contains(word), "\(self)", sourceLocation: sourceLocation) }
    }
}

extension GuestChild {
    /// The guest can still migrate: to a fresh process, verified, and is undamaged there.
    func expectMigrates(_ guests: Guests, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let destination = try await guests.waiting()
        let migrate = try await migrate(to: try destination.incoming, "--verify")
        #expect(migrate.code == 0 && migrate.text.contains("no difference"), "\(migrate)", sourceLocation: sourceLocation)
        #expect(try await destination.state() == .running, sourceLocation: sourceLocation)
        #expect(try await state() == .postMigrate, sourceLocation: sourceLocation)
        try await destination.expectClean(sourceLocation: sourceLocation)
    }
}
