import AerostatBalloon
import AerostatGuestMemory
import AerostatMigration
import AerostatModelGuest
import Testing

extension ModelGuestTests {
    /// The driver goes and comes.
    @Suite struct BalloonLifeTests {
        @Test(arguments: [BalloonDriverRequest.suspend, .unbind])
        func `A driver that goes empties the balloon, and fills it again when it comes back`(request: BalloonDriverRequest) async throws {
            let guest = try balloonGuest(64)
            let before = try guest.check()
            try guest.resume()
            try await guest.settle(at: 5000)
            try guest.ask(balloonDriver: request)
            try await eventually("the driver is gone") { guest.kernel!.pendingRequest == nil && !guest.balloon.status.isDriverReady }
            let gone = try guest.check()
            #expect(gone.isClean && gone.pagesBallooned == 0 && gone.pagesFree == before.pagesFree, "\(gone)")
            #expect(guest.balloon.status.actualPages == 0 && guest.balloon.status.balloonedPages == 0)
            #expect(guest.balloon.status.counters.deflatedPages == 5000, "the host was not told")
            // Nobody is there to follow.
            guest.balloon.setTarget(pages: 6000)
            // Only the other half brings it back.
            try guest.ask(balloonDriver: request == .suspend ? .bind : .resume)
            try await Task.sleep(for: .milliseconds(50))
            #expect(!guest.balloon.status.isDriverReady && guest.balloon.status.actualPages == 0)
            try guest.ask(balloonDriver: request == .suspend ? .resume : .bind)
            try await eventually("the driver is back") { guest.balloon.status.actualPages == 6000 }
            try guest.expectBalloonIsSound()
        }

        @Test func `A guest that reboots uses the balloon's pages without a word, and fills it anew`() async throws {
            let guest = try balloonGuest(64)
            try guest.resume()
            try await guest.settle(at: 5000)
            try guest.ask(balloonDriver: .reboot)
            try await eventually("it has rebooted") { guest.kernel!.driverCounters.reboots == 1 }
            #expect(guest.balloon.status.counters.deflatedPages == 0)
            try await eventually("the balloon fills") { guest.balloon.status.balloonedPages == 5000 }
            try guest.expectBalloonIsSound()
            try await guest.settle(at: 0)
            #expect(try guest.check().pagesBallooned == 0)
        }

        @Test(arguments: [BalloonDriverRequest.rebind, .nap, .reboot])
        func `In the middle of inflating, deflating, moving and hinting the driver goes and comes`(request: BalloonDriverRequest)
            async throws
        {
            let guest = try balloonGuest(64) {
                $0.workload = .churn(rate: 300 << 20)
                $0.compactionInterval = .microseconds(100)
                $0.vcpus = 2
            }
            try guest.resume()
            var random = SplitMix(state: UInt64(request.rawValue))
            for _ in 0..<25 {
                guest.balloon.setTarget(pages: Int.random(in: 0...8000, using: &random))
                let ledger = try Ledger(guest.memory)
                if Bool.random(using: &random) { _ = guest.hinting!.begin(reportingTo: ledger) }
                try await Task.sleep(for: .milliseconds(Int.random(in: 0...6, using: &random)))
                try guest.ask(balloonDriver: request)
                try await eventually("it was done") { guest.kernel!.pendingRequest == nil }
                #expect(guest.panic == nil)
                if Bool.random(using: &random) { try guest.expectBalloonIsSound() }
                guest.hinting!.done()
            }
            try await guest.settle(at: 4000)
            try guest.expectBalloonIsSound()
            try await eventually("blocks come back") { guest.kernel!.allocator.heldBlocks == 0 }
        }

        @Test func `Disturbed again and again, the driver and the device stay of one mind`() async throws {
            let guest = try balloonGuest(64) {
                $0.workload = .squeeze(rate: 200 << 20)
                $0.compactionInterval = .microseconds(100)
                $0.disturbanceInterval = .milliseconds(7)
                $0.poison = 0
            }
            try guest.resume()
            var random = SplitMix(state: 3)
            for _ in 0..<30 {
                guest.balloon.setTarget(pages: Int.random(in: 0...6000, using: &random))
                try await Task.sleep(for: .milliseconds(Int.random(in: 1...60, using: &random)))
                try guest.expectBalloonIsSound()
            }
            let counters = guest.kernel!.driverCounters
            #expect(counters.suspensions > 3 && counters.rebinds > 3 && counters.reboots > 3, "\(counters)")
        }

        @Test(arguments: [
            DriverBehaviour.inflateOutsideRAM, .inflateTwice, .inflateOwnRing, .oddLengths, .deflateStrangers, .inflateLoop, .emptyKicks,
        ])
        func `A driver that lies about pages harms nobody, and its truth is heard`(behaviour: DriverBehaviour) async throws {
            let guest = try balloonGuest(64) {
                $0.driver = behaviour
                $0.workload = .churn(rate: 100 << 20)
            }
            try guest.resume()
            guard behaviour != .inflateLoop else {
                guest.balloon.setTarget(pages: 3000)
                try await eventually("the queue is broken") { guest.balloon.fault != nil }
                try guest.expectBalloonIsSound()
                // A reset mends it, until the next lie.
                try guest.ask(balloonDriver: .rebind)
                try await eventually("it was loaded again") { guest.kernel!.driverCounters.rebinds == 1 }
                return try guest.expectBalloonIsSound()
            }
            for pages in [3000, 100, 2000] {
                try await guest.settle(at: pages)
                try guest.expectBalloonIsSound()
            }
            #expect(guest.balloon.fault == nil)
            let counters = guest.balloon.status.counters
            switch behaviour {
            case .inflateOutsideRAM: #expect(counters.outsidePages >= 3 * 132)
            case .inflateTwice: #expect(counters.repeatedPages > 3 * 10_000)
            case .inflateOwnRing: #expect(counters.ownPages == 3)
            case .oddLengths: #expect(counters.oddBytes > 10)
            case .deflateStrangers: #expect(counters.unknownPages > 30 && counters.outsidePages >= 3 * 64, "\(counters)")
            default: break
            }
        }

        @Test func `A driver that is silent about its size leaves the guest as it is`() async throws {
            let guest = try balloonGuest(64) { $0.driver = .muteBalloon }
            try guest.resume()
            guest.balloon.setTarget(pages: 3000)
            try await Task.sleep(for: .milliseconds(100))
            #expect(guest.balloon.status.actualPages == 0 && guest.balloon.status.balloonedPages == 0)
            try guest.expectBalloonIsSound()
        }
    }
}
