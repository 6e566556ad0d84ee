import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import AerostatModelGuest
import TestSupport
import Testing

extension ModelGuestTests {
    @Suite struct ReportingTests {
        private func guest(
            _ mebibytes: UInt64 = 128,
            delay: Duration = .milliseconds(20),
            _ change: (inout ModelGuestConfiguration) -> Void = { _ in }
        ) throws -> ModelGuest {
            try balloonGuest(mebibytes) {
                $0.reportingDelay = delay
                $0.freedShare = 0.7
                change(&$0)
            }
        }

        /// Pages of free blocks that are large enough, but for those that were never touched.
        private func reportable(_ guest: ModelGuest) -> Int {
            Int(guest.kernel!.freeList(9).pages + guest.kernel!.freeList(10).pages)
        }

        @Test func `Free blocks are reported when the delay is over, cost nothing then, and read as zero when they are used`() async throws
        {
            let guest = try guest(delay: .milliseconds(400))
            let pages = reportable(guest)
            let before = try guest.check()
            let kernel = guest.kernel!
            let present = try PageSet(pageCount: guest.memory.pageCount)
            try guest.memory.insertPresentPages(into: present)
            try guest.resume()
            try await Task.sleep(for: .milliseconds(150))
            #expect(guest.kernel!.driverCounters.reportedPages == 0, "before the delay was over")
            try await eventually("all is reported") { Int(guest.kernel!.driverCounters.reportedPages) == pages }
            let counters = guest.balloon.status.counters
            let blocks = Int(guest.kernel!.driverCounters.reportedBlocks)
            #expect(pages > 20_000 && counters.reportedPages == pages)
            #expect(counters.reportBuffers == (blocks + 31) / 32, "32 blocks at a time")
            let after = try guest.check()
            #expect(after.isClean && after.pagesFree == before.pagesFree && after.pagesUsed == before.pagesUsed, "\(after)")
            #expect(after.pagesFreeTopOrder == before.pagesFreeTopOrder)
            try guest.pause()
            let reported = (kernel.memory.layout.firstFrame..<guest.memory.pageCount).filter { kernel.memory.record(of: $0).isReported }
                .flatMap { $0..<$0 + 1 << kernel.memory.record(of: $0).head!.order }
            #expect(reported.count == pages && reported.count { present.contains(PageIndex($0)) } > pages - 1024)
            #expect(try residentPages(of: guest.memory, in: reported) == 0)
            try guest.resume()
            // What was reported stays reported, and is what the allocator gives last.
            try await Task.sleep(for: .milliseconds(600))
            #expect(guest.kernel!.driverCounters.reportedPages == UInt64(pages))
            try guest.pause()
            var zeros = 0
            while let frame = try kernel.locked({ () throws(KernelPanic) in try kernel.allocate(order: 9) }) {
                for page in frame..<frame + 512 where kernel.memory.firstWord(of: page, otherThan: 0) == nil { zeros += 1 }
            }
            #expect(zeros >= pages)
        }

        @Test func `Memory that was in use since is reported again`() async throws {
            let guest = try guest(96) {
                $0.workload = .churn(rate: 500 << 20)
                $0.vcpus = 2
            }
            try guest.resume()
            let first = UInt64(reportable(guest))
            try await eventually("blocks are reported again") { guest.kernel!.driverCounters.reportedPages > 3 * first }
            for _ in 0..<10 {
                try guest.expectBalloonIsSound()
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(guest.panic == nil)
        }

        @Test func `While a report is out, its blocks are nobody's`() async throws {
            let guest = try guest(96) { $0.workload = .churn(rate: 500 << 20) }
            guest.balloon.inhibit("nothing yet").cancel()
            try guest.resume()
            guest.balloon.park()
            try await eventually("a report is out") { guest.kernel!.balloonLists.isolated.blocks > 0 }
            try await Task.sleep(for: .milliseconds(50))
            let lists = guest.kernel!.balloonLists
            #expect(lists.isolated.blocks <= 32 && guest.kernel!.driverCounters.reportedBlocks == 0)
            // It stands, with the report unanswered, and is whole.
            try guest.pause()
            let check = try guest.check()
            #expect(check.isClean && guest.kernel!.balloonLists.isolated == lists.isolated, "\(check)")
            try guest.resume()
            try await eventually("the report is answered") { guest.kernel!.driverCounters.reportedBlocks >= lists.isolated.blocks }
            try guest.expectBalloonIsSound()
        }

        @Test(arguments: [0, 0xAAAA_AAAA] as [UInt32], [false, true])
        func `Memory that is filled when it is freed is as it was filled, also behind a sleep`(poison: UInt32, sleeps: Bool) async throws {
            let guest = try guest(64) {
                $0.poison = poison
                $0.workload = .churn(rate: 200 << 20)
            }
            try guest.resume()
            if sleeps {
                try guest.ask(balloonDriver: .nap)
                try await eventually("it slept") { guest.kernel!.driverCounters.suspensions == 1 }
            }
            let start = guest.kernel!.driverCounters.reportedPages
            try await eventually("blocks are reported") { guest.kernel!.driverCounters.reportedPages > start + 10_000 }
            guest.balloon.setTarget(pages: 2000)
            try await eventually("the balloon fills") { guest.balloon.status.actualPages == 2000 }
            try guest.expectBalloonIsSound()
            #expect(poison == 0 || guest.balloon.status.counters.poisonedPages >= guest.balloon.status.counters.reportedPages)
        }

        @Test func `Blocks that were cleared to be hinted are reported when they come back`() async throws {
            let guest = try guest(128, delay: .milliseconds(50)) {
                $0.clearsAllocated = true
                $0.freedShare = 0.2
            }
            try guest.resume()
            let ledger = try Ledger(guest.memory)
            _ = guest.hinting!.begin(reportingTo: ledger)
            #expect(ledger.waitUntilStopped())
            let present = try presentPages(guest.memory)
            #expect(present > guest.memory.pageCount / 2, "holding a block clears it")
            guest.hinting!.done()
            try await eventually("the memory goes back") { try presentPages(guest.memory) < present / 3 }
            try guest.expectBalloonIsSound()
        }

        @Test func `What was reported before a migration does not travel, and reports go on meanwhile`() async throws {
            var guest = try guest(96) {
                $0.workload = .churn(rate: 200 << 20)
                $0.disturbanceInterval = .milliseconds(150)
                $0.compactionInterval = .milliseconds(1)
            }
            try guest.resume()
            try await eventually("blocks are reported") { guest.kernel!.driverCounters.reportedPages > 10_000 }
            for _ in 0..<4 {
                let reported = guest.kernel!.driverCounters.reportedPages
                let move = try Move(guest)
                try move.start()
                var random = SplitMix(state: reported)
                while !move.migration.report.status.isOver {
                    guest.balloon.setTarget(pages: Int.random(in: 0...8000, using: &random))
                    try await Task.sleep(for: .milliseconds(5))
                }
                let arrived = try #require(move.finish())
                #expect(move.migration.report.verify?.status == .passed)
                guest.shutdown()
                try arrived.expectBalloonIsSound()
                guest = arrived
            }
        }

        @Test func `An idle guest that reported all arrives without it`() async throws {
            let guest = try guest(128, delay: .zero)
            let pages = reportable(guest)
            try guest.resume()
            try await eventually("all is reported") { Int(guest.kernel!.driverCounters.reportedPages) == pages }
            let move = try Move(guest) { $0.usesHints = false }
            try move.start()
            let arrived = try #require(move.finish())
            let ram = move.migration.report.ram
            #expect(ram.normal < guest.memory.pageCount / 5, "\(ram)")
            #expect(try presentPages(arrived.memory) < guest.memory.pageCount / 5)
            try arrived.expectBalloonIsSound()
        }

        @Test func `A driver that reports what is not free memory harms nobody`() async throws {
            let guest = try guest(64) {
                $0.driver = .falseReports
                $0.workload = .churn(rate: 200 << 20)
            }
            try guest.resume()
            try await eventually("it has lied") { guest.balloon.status.counters.refusedReports > 100 }
            #expect(guest.balloon.fault == nil)
            try guest.expectBalloonIsSound()
        }
    }

    @Suite struct StatisticsTests {
        @Test(arguments: [true, false])
        func `The driver says what it knows of its memory, each time it is asked`(mayDeflate: Bool) async throws {
            let guest = try balloonGuest(64, options: BalloonOptions(offersDeflateOnOOM: mayDeflate))
            try guest.resume()
            try await eventually("it says so unasked") { guest.balloon.guestStatistics.lastUpdateMilliseconds != nil }
            let check = try guest.check()
            let first = guest.balloon.guestStatistics
            #expect(first[.freeMemory] == UInt64(check.pagesFree) << 12 && first[.availableMemory] == first[.freeMemory])
            #expect(first[.swapIn] == 0 && first[.swapOut] == 0 && first[.diskCaches] == 0 && first[.outOfMemoryKills] == 0)
            // This kernel knows nothing of these.
            for value in [GuestStatistics.Value.majorFaults, .minorFaults, .hugePageAllocations, .hugePageFailures, .backgroundScans] {
                #expect(first[value] == nil)
            }
            try await guest.settle(at: 5000)
            let told = guest.balloon.status.counters.statisticsBuffers
            guest.balloon.requestStatistics()
            try await eventually("it answers") { guest.balloon.status.counters.statisticsBuffers > told }
            let second = guest.balloon.guestStatistics
            #expect(second[.freeMemory] == first[.freeMemory]! - 5000 << 12)
            // What it cannot take back is no longer its own.
            #expect(second[.totalMemory] == first[.totalMemory]! - (mayDeflate ? 0 : 5000 << 12))
            try await Task.sleep(for: .milliseconds(50))
            #expect(guest.balloon.status.counters.statisticsBuffers == told + 1, "answered without being asked")
        }

        @Test func `Statistics go on at the destination, and behind a sleep`() async throws {
            let guest = try balloonGuest(64) { $0.workload = .churn(rate: 100 << 20) }
            try guest.resume()
            try guest.ask(balloonDriver: .nap)
            try await eventually("it slept") { guest.kernel!.driverCounters.suspensions == 1 }
            try await eventually("statistics came") { guest.kernel!.driverCounters.statistics == 2 }
            let move = try Move(guest)
            try move.start()
            let arrived = try #require(move.finish())
            for _ in 0..<3 {
                let told = arrived.kernel!.driverCounters.statistics
                arrived.balloon.requestStatistics()
                try await eventually("it answers") { arrived.kernel!.driverCounters.statistics == told + 1 }
            }
            try arrived.expectBalloonIsSound()
        }

        @Test func `A guest that is short of memory says how often it had to wait`() async throws {
            let guest = try balloonGuest(64) { $0.workload = .churn(rate: 1 << 30) }
            try guest.resume()
            guest.balloon.setTarget(pages: guest.memory.pageCount)
            try await eventually("it is short") { guest.kernel!.driverCounters.stalls > 10 }
            let told = guest.balloon.status.counters.statisticsBuffers
            guest.balloon.requestStatistics()
            try await eventually("it answers") { guest.balloon.status.counters.statisticsBuffers > told }
            #expect(guest.balloon.guestStatistics[.allocationStalls]! > 10)
        }

        @Test func `False statistics, and none, harm nobody`() async throws {
            let guest = try balloonGuest(64) { $0.driver = .falseStatistics }
            try guest.resume()
            for _ in 0..<15 {
                let told = guest.kernel!.driverCounters.statistics
                guest.balloon.requestStatistics()
                try await eventually("it answers") { guest.kernel!.driverCounters.statistics > told }
            }
            let counters = guest.balloon.status.counters
            #expect(counters.unknownTags >= 90 && counters.surplusStatisticsBuffers > 0 && guest.balloon.fault == nil, "\(counters)")
            try guest.expectBalloonIsSound()

            let mute = try balloonGuest(64) { $0.driver = .muteBalloon }
            try mute.resume()
            mute.balloon.setPollingInterval(seconds: 1)
            try await Task.sleep(for: .milliseconds(1200))
            #expect(mute.balloon.guestStatistics.lastUpdateMilliseconds == nil)
            try mute.expectBalloonIsSound()
        }
    }
}
