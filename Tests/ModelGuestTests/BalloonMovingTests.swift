import AerostatBalloon
import AerostatGuestMemory
import AerostatMigration
import AerostatMigrationIO
import AerostatModelGuest
import Testing

extension ModelGuestTests {
    @Suite struct BalloonMovingTests {
        @Test func `Pages of the balloon are neither read nor sent, and cost nothing at the destination`() async throws {
            let guest = try balloonGuest(128)
            try guest.resume()
            try await guest.settle(at: 24_000)
            let frames = guest.balloonedFrames
            let move = try Move(guest) { $0.usesHints = false }
            try move.start()
            let arrived = try #require(move.finish())
            let report = move.migration.report
            // Tables are rewritten while the guest runs.
            #expect(report.ram.normal + report.ram.duplicate < guest.memory.pageCount - 24_000 + 300, "\(report.ram)")
            #expect(try residentPages(of: guest.memory, in: frames) == 0, "the source read them")
            #expect(try residentPages(of: arrived.memory, in: frames) == 0, "the destination has them")
            #expect(arrived.balloon.status.actualPages == 24_000 && arrived.balloon.status.targetPages == 24_000)
            try arrived.expectBalloonIsSound()
            try await arrived.settle(at: 100)
            let check = try arrived.check()
            #expect(check.isClean && check.pagesBallooned == 100, "\(check)")
        }

        @Test(arguments: 1...2 as ClosedRange<UInt64>)
        func `The balloon fills, empties and is moved while its guest goes to and fro`(seed: UInt64) async throws {
            // With one seed the driver is asked to tell before it uses a page again.
            let options = BalloonOptions(offersMustTellHost: seed == 2)
            var guest = try balloonGuest(96, options: options) {
                $0.workload = .churn(rate: 300 << 20)
                $0.vcpus = 2
                $0.seed = seed
                $0.compactionInterval = .microseconds(200)
                $0.disturbanceInterval = .milliseconds(120)
            }
            try guest.resume()
            var random = SplitMix(state: seed)
            var moved = 0
            for _ in 0..<5 {
                let move = try Move(guest, options: options)
                try move.start()
                while !move.migration.report.status.isOver {
                    guest.balloon.setTarget(pages: Int.random(in: 0...14_000, using: &random))
                    try await Task.sleep(for: .milliseconds(Int.random(in: 1...30, using: &random)))
                }
                let arrived = try #require(move.finish())
                #expect(move.migration.report.verify?.status == .passed)
                guest.shutdown()
                try arrived.expectBalloonIsSound("seed \(seed)")
                moved += Int(arrived.kernel!.driverCounters.inflatedPages)
                guest = arrived
            }
            #expect(moved > 1000)
            try await guest.settle(at: 5000)
            try guest.expectBalloonIsSound("seed \(seed)")
        }

        @Test func `A migration that fails behind the pause leaves the balloon as it was, and it moves on`() async throws {
            let guest = try balloonGuest(64) {
                $0.workload = .churn(rate: 300 << 20)
                $0.compactionInterval = .microseconds(200)
            }
            try guest.resume()
            var random = SplitMix(state: 4)
            for _ in 0..<4 {
                // A balloon without the feature that the driver has accepted: the device state is refused when the guest stands.
                let move = try Move(guest, options: BalloonOptions(offersDeflateOnOOM: false))
                try move.start()
                while !move.migration.report.status.isOver {
                    guest.balloon.setTarget(pages: Int.random(in: 0...8000, using: &random))
                    try await Task.sleep(for: .milliseconds(2))
                }
                #expect(move.finish() == nil && guest.isRunning, "\(move.migration.report)")
                #expect(move.migration.report.rounds.contains { $0.paused }, "it failed too early for this test")
                try guest.expectBalloonIsSound()
            }
            try await guest.settle(at: 3000)
            let move = try Move(guest)
            try move.start()
            let arrived = try #require(move.finish())
            try arrived.expectBalloonIsSound()
            try await arrived.settle(at: 0)
            try arrived.expectBalloonIsSound()
        }
    }
}
