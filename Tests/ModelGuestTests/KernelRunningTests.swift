import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatModelGuest
import Testing

extension ModelGuestTests {
    @Suite struct RunningTests {
        static let workloads: [Workload] = [
            .idle, .steady(writeRate: 200 << 20, workingSet: 8 << 20), .churn(rate: 500 << 20), .squeeze(rate: 500 << 20), .hog,
        ]

        @Test(arguments: workloads)
        func `A paused guest writes nothing, and continues when it is resumed`(workload: Workload) async throws {
            let guest = try ModelGuest(
                booting: try configuration(64) {
                    $0.workload = workload
                    $0.vcpus = 2
                },
                tracker: .software
            )
            for _ in 0..<3 {
                let steps = guest.kernel!.loadVCPU(1).steps
                try guest.resume()
                try await eventually("the guest runs") { guest.kernel!.loadVCPU(1).steps > steps }
                let asked = MonotonicClock.now()
                try guest.pause()
                let pause = asked.duration(to: MonotonicClock.now())
                #expect(pause < .milliseconds(50), "pausing took \(pause)")
                let before = try digest(guest.memory)
                try await Task.sleep(for: .milliseconds(30))
                #expect(try digest(guest.memory) == before)
                let result = try guest.check()
                #expect(result.isClean, "\(result)")
                #expect(try digest(guest.memory) == before, "the check wrote")
            }
        }

        @Test func `A running guest can be checked and keeps running`() async throws {
            let guest = try ModelGuest(booting: try configuration(64) { $0.workload = .churn(rate: 1 << 30) }, tracker: .software)
            try guest.resume()
            for _ in 0..<10 {
                let result = try guest.check()
                #expect(result.isClean, "\(result)")
            }
            let steps = guest.kernel!.loadVCPU(0).steps
            try await eventually("the guest runs on") { guest.kernel!.loadVCPU(0).steps > steps }
        }

        @Test func `The steady workload keeps its write rate`() async throws {
            let rate = 100 << 20
            let guest = try ModelGuest(
                booting: try configuration(64) {
                    $0.workload = .steady(writeRate: rate, workingSet: 4 << 20)
                    $0.vcpus = 2
                },
                tracker: .software
            )
            try guest.resume()
            try await Task.sleep(for: .milliseconds(500))
            try guest.pause()
            let wanted = Double(rate / 4096) * Double(guest.clockNanoseconds) * 1e-9
            let atBoot = UInt64(Double(guest.memory.pageCount) * 0.1) + UInt64(Double(guest.memory.pageCount) * 0.5)
            let written = Double((0..<2).reduce(0) { $0 + guest.kernel!.loadVCPU($1).stampedPages } - atBoot)
            // Never more than requested (except for the current step), and less only if the machine is busy.
            #expect(written <= wanted + 128 && written > wanted / 2, "\(written) pages, where \(wanted) were asked")
        }

        /// Pages are copied while the guest writes them. Rounds follow the tracker's results, and hints remove pages.
        @Test(arguments: [false, true], 1...3 as ClosedRange<UInt64>)
        func `RAM and registers are all of the guest: it continues in a second machine`(withHints: Bool, seed: UInt64) async throws {
            var guest = try ModelGuest(
                booting: try configuration(96) {
                    $0.workload = .churn(rate: 1 << 30)
                    $0.vcpus = 2
                    $0.seed = seed
                },
                tracker: .software
            )
            try guest.resume()
            var skipped = 0
            for _ in 0..<4 {
                let target = try ModelGuest(shell: guest.memory.regions, tracker: .software)
                skipped += try move(guest, to: target, withHints: withHints)
                guest.shutdown()
                let steps = target.kernel!.loadVCPU(0).steps
                let arrived = try target.check()
                #expect(arrived.isClean, "seed \(seed): \(arrived)")
                try target.resume()
                try await eventually("the guest runs at the destination") { target.kernel!.loadVCPU(0).steps > steps + 20 }
                try await eventually("its blocks come back") { target.kernel!.allocator.heldBlocks == 0 }
                guest = target
            }
            let result = try guest.check()
            #expect(result.isClean, "seed \(seed): \(result)")
            #expect(withHints == (skipped > 0))
        }

        private func move(_ source: ModelGuest, to target: ModelGuest, withHints: Bool) throws -> Int {
            let ledger = try Ledger(source.memory)
            try source.tracker.arm()
            defer { source.tracker.disarm() }
            try source.memory.insertPresentPages(into: ledger.pending)
            for _ in 0..<3 {
                if withHints {
                    ledger.reopen()
                    _ = source.hinting!.begin(reportingTo: ledger)
                    #expect(ledger.waitUntilStopped())
                }
                ledger.copy(to: target.memory)
                source.hinting!.stop()
                try source.tracker.harvest(into: ledger.pending)
            }
            // Pauses in the middle of a round, if there are hints.
            if withHints { _ = source.hinting!.begin(reportingTo: ledger) }
            try source.pause()
            source.hinting!.stop()
            try source.tracker.harvest(into: ledger.pending)
            ledger.copy(to: target.memory)
            try target.loadDeviceState(try source.saveDeviceState())
            return ledger.skipped
        }

        @Test func `A shell accepts only a matching kernel`() throws {
            let source = try ModelGuest(booting: try configuration(16), tracker: .software)
            let state = try source.saveDeviceState()
            let target = try ModelGuest(shell: source.memory.regions, tracker: .software)
            #expect(throws: GuestError.self) { try target.resume() }
            #expect(throws: GuestError.self) { try target.loadDeviceState(state) }
            let header = try source.memory.read(at: GuestAddress(0), byteCount: 4096)
            try target.memory.write(header, at: GuestAddress(0))
            #expect(throws: GuestError.self) { try target.loadDeviceState([]) }
            #expect(throws: GuestError.self) { try target.loadDeviceState(Array(state.dropFirst())) }
            // Damages each of the header's checked words in turn: magic, version, pages, vCPUs, workload, rate, driver.
            for word in [0, 1, 2, 3, 5, 6, 9] {
                try target.memory.store(UInt64(0xFFFF_FFFF_FFFF), at: GuestAddress(UInt64(word) * 8))
                #expect(throws: GuestError.self, "word \(word)") { try target.loadDeviceState(state) }
                try target.memory.write(header, at: GuestAddress(0))
            }
            try target.loadDeviceState(state)
        }

        @Test(.timeLimit(.minutes(1)))
        func `A header that a peer invented cannot hang a vCPU`() async throws {
            let source = try ModelGuest(booting: try configuration(16) { $0.workload = .hog }, tracker: .software)
            let target = try ModelGuest(shell: source.memory.regions, tracker: .software)
            let ledger = try Ledger(source.memory)
            try source.memory.insertPresentPages(into: ledger.pending)
            ledger.copy(to: target.memory)
            // The working set, in pages.
            try target.memory.store(UInt64(0), at: GuestAddress(56))
            try target.loadDeviceState(try source.saveDeviceState())
            try target.resume()
            try await eventually("the vCPU makes steps") { target.kernel!.loadVCPU(0).steps > 10 }
            try target.pause()
        }

        @Test func `A large guest populates only the memory in use`() throws {
            var configuration = try configuration(64 << 10)
            configuration.usedShare = 0.001
            configuration.freedShare = 0
            let guest = try ModelGuest(booting: configuration, tracker: .software)
            let used = Int(guest.memoryUse()!.usedBytes >> 12)
            let present = try presentPages(guest.memory)
            #expect(Double(used) < 0.0011 * Double(guest.memory.pageCount))
            #expect(present <= used && Double(present) > 0.98 * Double(used), "\(present) present, \(used) used")
            #expect(try guest.check().isClean)
            #expect(try presentPages(guest.memory) == present, "the check populated pages")
            // A whole round of hints populates the held stack, but no frame records.
            try guest.resume()
            let ledger = try Ledger(guest.memory)
            _ = guest.hinting!.begin(reportingTo: ledger)
            #expect(ledger.waitUntilStopped())
            #expect(ledger.blocks.count > 16_000)
            #expect(try guest.check().isClean)
            #expect(try presentPages(guest.memory) - present <= 16 + 4, "a hint round populated memory")
        }

        @Test func `Invalid configurations are refused with a description`() throws {
            let changes: [(inout ModelGuestConfiguration) -> Void] = [
                { $0.usedShare = 0.6 }, { $0.freedShare = -0.1 }, { $0.fragmentationShare = .nan }, { $0.vcpus = 0 }, { $0.vcpus = 65 },
                { $0.workload = .churn(rate: 0) }, { $0.workload = .steady(writeRate: 4096, workingSet: 1) },
            ]
            for change in changes {
                #expect(throws: ModelGuestConfiguration.Invalid.self) { try configuration(64, change).validate() }
            }
            #expect(throws: ModelGuestConfiguration.Invalid.self) { try configuration(15).validate() }
            try configuration(16).validate()
        }
    }
}
