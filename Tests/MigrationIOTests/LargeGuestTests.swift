import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import TestSupport
import Testing

/// The cost of a switch-over depends on what is populated, not on the size of the guest.
@Suite(.serialized) struct LargeGuestTests {
    @Test(arguments: [TrackerKind.software, .pagemapScan]
    )
    func `The pause of a guest of 16 TiB is as short as that of a small one with the same memory in use`(tracker: TrackerKind) throws {
        let small = try shortestDowntime(pages: 1 << 14, tracker)
        let large = try shortestDowntime(pages: 1 << 32, tracker)
        // Reading every word of one bitmap of the large guest takes longer than all of this.
        #expect(large < small * 3 + .milliseconds(12), "\(large) where a small guest takes \(small)")
    }

    private func shortestDowntime(pages: Int, _ tracker: TrackerKind) throws -> Duration {
        var shortest = Duration.seconds(3600)
        for _ in 0..<3 {
            let pair = try Pair(Pair.Setup(pages: pages, tracker: tracker, hints: .honest, free: 200..<256, filled: 0..<256))
            let outcome = try pair.run()
            #expect(outcome == .completed)
            #expect(pair.destinationOutcome() == .running(guestRuns: true))
            shortest = min(shortest, .microseconds(try #require(pair.migration.report.downtimeMicroseconds)))
            pair.end()
        }
        return shortest
    }
}
