import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatModelGuest
import Testing

extension ModelGuestTests {
    @Suite struct HintTests {
        private func guest(_ mebibytes: UInt64 = 128, _ change: (inout ModelGuestConfiguration) -> Void = { _ in }) throws -> ModelGuest {
            try ModelGuest(booting: try configuration(mebibytes, change), tracker: .software)
        }

        @Test func `A round reports every free block of the top order, and DONE returns all of them`() async throws {
            let guest = try guest()
            let before = try guest.check()
            #expect(before.pagesHeld == 0)
            try guest.resume()
            let ledger = try Ledger(guest.memory)
            ledger.pending.insert(PageRun(first: PageIndex(0), count: guest.memory.pageCount))
            let id = guest.hinting!.begin(reportingTo: ledger)
            #expect(id.rawValue >= CommandID.minimum.rawValue)
            #expect(ledger.waitUntilStopped())
            let blocks = ledger.blocks
            #expect(Set(blocks).count == blocks.count)
            #expect(blocks.count << 10 == before.pagesFreeTopOrder && ledger.skipped == before.pagesFreeTopOrder)
            let held = try guest.check()
            #expect(held.isClean, "\(held)")
            #expect(held.pagesHeld == before.pagesFreeTopOrder && held.pagesFree == before.pagesFree)
            // STOP keeps them. The next command reports nothing new, because nothing was freed.
            guest.hinting!.stop()
            ledger.reopen()
            #expect(guest.hinting!.begin(reportingTo: ledger) == id.successor)
            #expect(ledger.waitUntilStopped())
            #expect(ledger.blocks.count == blocks.count)
            guest.hinting!.done()
            try await eventually("the blocks come back") { guest.kernel!.allocator.heldBlocks == 0 }
            let after = try guest.check()
            #expect(after.isClean && after.pagesHeld == 0 && after.pagesFreeTopOrder == before.pagesFreeTopOrder, "\(after)")
            #expect(guest.hinting!.statistics.staleBlocks == 0 && guest.hinting!.statistics.invalidBlocks == 0)
        }

        @Test func `A ring that is smaller than the round is refilled when the device returns buffers`() async throws {
            let guest = try guest(8 << 10) {
                $0.usedShare = 0
                $0.freedShare = 0
            }
            try guest.resume()
            for _ in 0..<3 {
                let ledger = try Ledger(guest.memory)
                _ = guest.hinting!.begin(reportingTo: ledger)
                #expect(ledger.waitUntilStopped())
                // About twice the ring.
                #expect(ledger.blocks.count > 2000)
                guest.hinting!.done()
                try await eventually("the blocks come back") { guest.kernel!.allocator.heldBlocks == 0 }
                #expect(try guest.check().isClean)
            }
        }

        @Test func `Blocks are reported by their physical addresses, on both sides of a hole`() throws {
            let regions = try RegionTable([
                MemoryRegion(base: GuestAddress(0x10_0000), byteCount: 34 << 20),
                MemoryRegion(base: GuestAddress(1 << 32), byteCount: 62 << 20),
            ])
            let guest = try ModelGuest(booting: ModelGuestConfiguration(memory: regions), tracker: .software)
            let before = try guest.check()
            try guest.resume()
            let ledger = try Ledger(guest.memory)
            ledger.pending.insert(PageRun(first: PageIndex(0), count: regions.pageCount))
            _ = guest.hinting!.begin(reportingTo: ledger)
            #expect(ledger.waitUntilStopped())
            #expect(ledger.blocks.allSatisfy { regions.wholePages(at: $0, byteCount: 4 << 20).droppedBytes == 0 })
            #expect(ledger.skipped == before.pagesFreeTopOrder && ledger.blocks.contains { $0.rawValue < 1 << 32 })
            try guest.pause()
            // Everything that was not hinted is in use. So the guest's check stays clean even when all hinted pages are overwritten.
            for address in ledger.blocks {
                try guest.memory.fill(0xEE, at: address, byteCount: 4 << 20)
            }
            let after = try guest.check()
            #expect(after.isClean && after.pagesChecked == before.pagesChecked, "\(after)")
        }

        @Test func `The shrinker takes held blocks while a round is active`() async throws {
            let guest = try guest(96) {
                $0.workload = .churn(rate: 4 << 30)
                $0.vcpus = 2
            }
            try guest.resume()
            let kernel = guest.kernel!
            // The device waits at the first hint until the guest has taken back a block whose hint the device has not read yet.
            let ledger = try Ledger(guest.memory)
            ledger.beforeHint = { _ = (0..<5000).first { _ in kernel.allocator.shrunkInRound > 0 || napped() } }
            _ = guest.hinting!.begin(reportingTo: ledger)
            #expect(ledger.waitUntilStopped())
            #expect(kernel.allocator.shrunkInRound > 0)
            let during = try guest.check()
            #expect(during.isClean, "\(during)")
            guest.hinting!.done()
            try await eventually("the blocks come back") { guest.kernel!.allocator.heldBlocks == 0 }
            let after = try guest.check()
            #expect(after.isClean, "\(after)")
        }

        @Test(arguments: [DriverBehaviour.silent, .wrongID, .outsideRAM, .unaligned, .descriptorLoop, .badIndices, .indexJump])
        func `No hint of a hostile driver is accepted, and its guest keeps running`(behaviour: DriverBehaviour) async throws {
            let guest = try guest(64) {
                $0.driver = behaviour
                $0.workload = .churn(rate: 100 << 20)
            }
            try guest.resume()
            let ledger = try Ledger(guest.memory)
            ledger.pending.insert(PageRun(first: PageIndex(0), count: guest.memory.pageCount))
            for _ in 0..<3 {
                _ = guest.hinting!.begin(reportingTo: ledger)
                try await Task.sleep(for: .milliseconds(20))
                guest.hinting!.stop()
            }
            #expect(ledger.skipped == 0)
            let statistics = guest.hinting!.statistics
            switch behaviour {
            case .silent: break
            case .wrongID: #expect(statistics.staleBlocks > 0)
            case .outsideRAM, .unaligned: #expect(statistics.invalidBlocks > 0)
            case .descriptorLoop, .badIndices, .indexJump: #expect(!guest.hinting!.isAvailable)
            default: Issue.record("no such driver is tried here")
            }
            guest.hinting!.done()
            try await eventually("the blocks come back") { guest.kernel!.allocator.heldBlocks == 0 }
            let steps = guest.kernel!.loadVCPU(0).steps
            try await eventually("the guest runs on") { guest.kernel!.loadVCPU(0).steps > steps }
            let result = try guest.check()
            #expect(result.isClean, "\(result)")
            #expect(guest.panic == nil)
        }

        @Test func `Blocks of a slow driver are in use again before the device reads their hints`() async throws {
            let guest = try guest(96) {
                $0.driver = .slow
                $0.workload = .squeeze(rate: 1 << 30)
                $0.vcpus = 2
            }
            try guest.resume()
            for _ in 0..<50 where guest.kernel!.allocator.shrunkInRound == 0 {
                let ledger = try Ledger(guest.memory)
                _ = guest.hinting!.begin(reportingTo: ledger)
                #expect(ledger.waitUntilStopped())
                guest.hinting!.done()
                try await Task.sleep(for: .milliseconds(5))
            }
            #expect(guest.kernel!.allocator.shrunkInRound > 0)
            let check = try guest.check()
            #expect(check.isClean, "\(check)")
        }

        @Test func `Hints of memory in use under an old id are counted as stale and not accepted`() async throws {
            let guest = try guest { $0.driver = .staleID }
            try guest.resume()
            let ledger = try Ledger(guest.memory)
            _ = guest.hinting!.begin(reportingTo: ledger)
            #expect(ledger.waitUntilStopped())
            let first = ledger.blocks.count
            #expect(first > 0)
            for round in 1...2 {
                guest.hinting!.stop()
                try await Task.sleep(for: .milliseconds(20))
                _ = guest.hinting!.begin(reportingTo: ledger)
                try await eventually("the lies are turned away") { guest.hinting!.statistics.staleBlocks >= 3 * round }
            }
            #expect(ledger.blocks.count == first)
        }

        @Test func `A driver that is reloaded during rounds keeps no block, and is asked again`() async throws {
            let guest = try guest {
                $0.driver = .reloading
                $0.workload = .churn(rate: 1 << 30)
            }
            try guest.resume()
            var whole = 0
            for _ in 0..<8 {
                let ledger = try Ledger(guest.memory)
                try await eventually("the device is set up") { guest.hinting!.isAvailable }
                _ = guest.hinting!.begin(reportingTo: ledger)
                #expect(ledger.waitUntilStopped())
                if guest.kernel!.allocator.heldBlocks > 0 { whole += 1 }
                let check = try guest.check()
                #expect(check.isClean, "\(check)")
            }
            #expect((1...4).contains(whole), "every fourth round is served to its end")
            guest.hinting!.done()
            try await eventually("the blocks come back") { guest.kernel!.allocator.heldBlocks == 0 }
        }

        @Test(arguments: [0, 0xaaaa_aaaa]) func `A guest that poisons memory is asked for hints only if its poison is zero`(word: UInt32)
            throws
        {
            let guest = try guest { $0.poison = word }
            try guest.resume()
            #expect(guest.hinting!.isAvailable == (word == 0))
            try guest.pause()
            // The check must find a freed page whose content has changed.
            let clean = try guest.check()
            #expect(clean.isClean, "\(clean)")
            let freed = try #require(
                (0..<guest.memory.pageCount).first {
                    guest.kernel!.memory.layout.firstFrame <= $0 && guest.kernel!.memory.record(of: $0).isPoisoned
                }
            )
            try guest.memory.store(UInt64(1), at: GuestAddress(UInt64(freed) << 12 + 64))
            let check = try guest.check()
            #expect(check.pagesWrong == 1 && check.firstWrongPage?.page == freed, "\(check)")
        }

        @Test func `No hint that overlaps the end of a region covers memory in use`() async throws {
            // The regions end in the middle of a block of the top order. The second hole is smaller than such a block.
            let regions = try RegionTable([
                MemoryRegion(base: GuestAddress(0), byteCount: 35 << 20), MemoryRegion(base: GuestAddress(48 << 20), byteCount: 30 << 20),
                MemoryRegion(base: GuestAddress(78 << 20 + 40 << 10), byteCount: 31 << 20),
            ])
            var configuration = ModelGuestConfiguration(memory: regions)
            configuration.driver = .outsideRAM
            let guest = try ModelGuest(booting: configuration, tracker: .software)
            let before = try guest.check()
            try guest.resume()
            let ledger = try Ledger(guest.memory)
            _ = guest.hinting!.begin(reportingTo: ledger)
            #expect(ledger.waitUntilStopped())
            try guest.pause()
            let lies = ledger.blocks
            #expect(lies.contains { $0.rawValue == 35 << 20 - 4096 })
            #expect(lies.contains { $0.rawValue == 78 << 20 - 4096 })
            for address in lies {
                for run in regions.wholePages(at: address, byteCount: 4 << 20).runs { guest.memory.clear(run) }
            }
            let after = try guest.check()
            #expect(after.isClean && after.pagesChecked == before.pagesChecked, "\(after)")
        }
    }
}
