import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatModelGuest
import TestSupport
import Testing

extension ModelGuestTests {
    @Suite struct BalloonTests {
        @Test func `The balloon fills to its target, gives the memory back, and empties again`() async throws {
            let guest = try balloonGuest()
            let before = try guest.check()
            let present = try PageSet(pageCount: guest.memory.pageCount)
            try guest.memory.insertPresentPages(into: present)
            try guest.resume()
            let pages = 20_100
            try await guest.settle(at: pages)
            let full = try guest.check()
            #expect(full.isClean && full.pagesBallooned == pages && before.pagesFree - full.pagesFree == pages, "\(full)")
            let status = guest.balloon.status
            #expect(status.balloonedPages == pages && status.counters.inflatedPages == pages && status.counters.repeatedPages == 0)
            // 256 pages in a buffer, but for the last.
            #expect(status.counters.inflateBuffers == (pages + 255) / 256)
            try guest.expectBalloonIsSound()
            let frames = guest.balloonedFrames
            #expect(try residentPages(of: guest.memory, in: frames) == 0)
            let existed = frames.count { present.contains(PageIndex($0)) }
            // A few pages of tables may have come.
            #expect(try presentPages(guest.memory) <= present.count() - existed + 16 && existed > pages - 2000)

            try await guest.settle(at: 777)
            #expect(try guest.check().pagesBallooned == 777)
            try await guest.settle(at: 0)
            let after = try guest.check()
            #expect(after.isClean && after.pagesBallooned == 0 && after.pagesFree == before.pagesFree, "\(after)")
            #expect(after.pagesFreeTopOrder == before.pagesFreeTopOrder, "all of it merges again")
            #expect(guest.balloon.status.counters.unknownPages == 0 && guest.balloon.status.counters.deflatedPages == pages)
        }

        @Test func `The size is said after each batch`() async throws {
            let guest = try balloonGuest(64)
            let sizes = Locked<[UInt32]>([])
            guest.balloon.observeActual { [balloon = guest.balloon] in
                let pages = balloon.status.actualPages
                sizes.withLock { $0.append(pages) }
            }
            try guest.resume()
            try await guest.settle(at: 2000)
            try await guest.settle(at: 300)
            guest.balloon.observeActual(nil)
            let said = sizes.withLock { $0 }
            #expect(said == Array(stride(from: 256, to: 2000, by: 256)) + [2000] + [1744, 1488, 1232, 976, 720, 464, 300], "\(said)")
        }

        @Test(arguments: [false, true]) func `Pages lie apart as Linux gives them, or side by side where that is asked`(inRuns: Bool)
            async throws
        {
            let guest = try balloonGuest { $0.inflatesInRuns = inRuns }
            try guest.resume()
            try await guest.settle(at: 8192)
            var (runs, pages) = (0, 0)
            guest.balloon.ballooned.forEachRun { run in
                runs += 1
                pages += run.count
            }
            #expect(pages == 8192 && (inRuns ? runs <= 8192 / 256 : runs > 8192 / 2), "\(runs) runs")
            try guest.expectBalloonIsSound()
            try await guest.settle(at: 0)
            try guest.expectBalloonIsSound()
        }

        @Test(arguments: [nil, 0, 0xAAAA_AAAA] as [UInt32?], [false, true])
        func `What comes out of the balloon is filled as freed memory is`(poison: UInt32?, clears: Bool) async throws {
            if poison != nil, clears { return }
            let guest = try balloonGuest(64) {
                $0.poison = poison
                $0.clearsAllocated = clears
                $0.workload = .churn(rate: 200 << 20)
            }
            try guest.resume()
            for _ in 0..<3 {
                try await guest.settle(at: 4000)
                let frames = guest.balloonedFrames
                try guest.expectBalloonIsSound()
                try await guest.settle(at: 0)
                try guest.pause()
                if let poison {
                    let word = UInt64(poison) << 32 | UInt64(poison)
                    let filled = frames.filter { guest.kernel!.memory.record(of: $0).isPoisoned }
                    #expect(filled.count > 100)
                    for frame in filled { #expect(try guest.memory.load(at: GuestAddress(UInt64(frame) << 12 + 8)) == word) }
                }
                try guest.expectBalloonIsSound()
                try guest.resume()
            }
        }

        @Test func `Out of puff: inflating leaves a reserve, and tries again five times a second`() async throws {
            let guest = try balloonGuest(64)
            let free = try guest.check().pagesFree
            try guest.resume()
            guest.balloon.setTarget(pages: guest.memory.pageCount)
            let counters = { guest.kernel!.driverCounters }
            try await eventually("it runs out") { counters().outOfPuff > 0 }
            let (start, tries) = (guest.clockNanoseconds, counters().outOfPuff)
            try await eventually("it tries again") { counters().outOfPuff >= tries + 4 }
            #expect(guest.clockNanoseconds - start > 700_000_000, "without a rest between two tries")
            let result = try guest.check()
            #expect(result.isClean, "\(result)")
            // Four times the root of the KiB, in KiB; at most one more is left because pages come in pairs.
            #expect((256...258).contains(result.pagesFree) && result.pagesBallooned > free - 270, "\(result)")
            // A target within reach ends it.
            try await guest.settle(at: 1000)
            let last = counters().outOfPuff
            try await Task.sleep(for: .milliseconds(500))
            #expect(counters().outOfPuff == last)
        }

        @Test func `Memory that has no page number of 32 bits stays out of the balloon`() async throws {
            let regions = try RegionTable([
                MemoryRegion(base: GuestAddress(0), byteCount: 32 << 20),
                MemoryRegion(base: GuestAddress(1 << 44), byteCount: 32 << 20),
            ])
            let guest = try ModelGuest(booting: ModelGuestConfiguration(memory: regions), tracker: .software)
            try guest.resume()
            guest.balloon.setTarget(pages: guest.memory.pageCount)
            try await eventually("it runs out") { guest.kernel!.driverCounters.outOfPuff > 1 }
            let pages = Int(guest.balloon.status.actualPages)
            #expect(pages <= 8192 && guest.panic == nil && guest.balloon.status.counters.outsidePages == 0)
            try guest.expectBalloonIsSound()
        }

        @Test(arguments: [true, false]) func `A guest out of memory takes pages back where it may`(mayDeflate: Bool) async throws {
            let guest = try balloonGuest(64, options: BalloonOptions(offersDeflateOnOOM: mayDeflate)) {
                $0.workload = .churn(rate: 1 << 30)
                $0.vcpus = 2
            }
            try guest.resume()
            // All that there is. As in Linux, it tries to get there five times a second, and what the guest takes back is soon gone again.
            guest.balloon.setTarget(pages: guest.memory.pageCount)
            let counters = { guest.kernel!.driverCounters }
            try await eventually("the guest is short of memory") {
                mayDeflate ? counters().deflatedOnShortage > 512 : counters().kills > 16
            }
            #expect(mayDeflate || counters().deflatedOnShortage == 0)
            let steps = guest.kernel!.loadVCPU(0).steps
            try await eventually("the guest runs on") { guest.kernel!.loadVCPU(0).steps > steps + 100 }
            try guest.expectBalloonIsSound()
        }

        @Test func `A page that leaves the balloon is not used before the device has acknowledged it`() async throws {
            let guest = try balloonGuest(64) { $0.workload = .churn(rate: 2 << 30) }
            try guest.resume()
            try await guest.settle(at: 5000)
            guest.balloon.park()
            guest.balloon.setTarget(pages: 0)
            try await eventually("a batch is on its way") { guest.kernel!.balloonLists.leaving.blocks == 256 }
            try await Task.sleep(for: .milliseconds(100))
            let lists = guest.kernel!.balloonLists
            #expect(lists.leaving.blocks == 256 && lists.pages.blocks == 5000 - 256, "one batch at a time")
            #expect(guest.balloon.status.actualPages == 5000, "said before it was true")
            guest.balloon.unpark()
            for doorbell in guest.balloon.doorbells { doorbell.ring() }
            try await guest.settle(at: 0)
            try guest.expectBalloonIsSound()
        }

        @Test func `Compaction moves pages of the balloon at any time`() async throws {
            let guest = try balloonGuest(64) {
                $0.compactionInterval = .microseconds(50)
                $0.workload = .churn(rate: 500 << 20)
            }
            try guest.resume()
            try await guest.settle(at: 6000)
            try guest.pause()
            let before = guest.balloonedFrames
            try guest.resume()
            try await eventually("pages are moved") { guest.kernel!.driverCounters.movedPages > 500 }
            for pages in [7000, 2000, 6000] {
                guest.balloon.setTarget(pages: pages)
                try await Task.sleep(for: .milliseconds(20))
                try guest.expectBalloonIsSound()
            }
            try await eventually("the target is reached") { guest.balloon.status.actualPages == 6000 }
            try guest.pause()
            let after = guest.balloonedFrames
            // One may be on its way in.
            #expect(before.subtracting(after).count > 100 && (6000...6001).contains(after.count))
            #expect(guest.balloon.status.counters.unknownPages == 0)
        }

        @Test func `An idle balloon wakes nobody`() async throws {
            let guest = try balloonGuest(64)
            try guest.resume()
            try await guest.settle(at: 3000)
            try await Task.sleep(for: .milliseconds(100))
            let (steps, counters) = (guest.balloon.steps, guest.kernel!.driverCounters)
            try await Task.sleep(for: .milliseconds(600))
            #expect(guest.balloon.steps == steps)
            #expect(guest.kernel!.driverCounters.inflatedPages == counters.inflatedPages)
        }
    }
}
