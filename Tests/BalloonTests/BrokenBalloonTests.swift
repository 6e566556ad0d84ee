#if BrokenEngines
    import AerostatBalloon
    import AerostatGuestMemory
    import AerostatHost
    import AerostatVirtio
    import TestSupport
    import Testing

    /// What the balloon's tests look at shows each rule that is broken on purpose:
    /// `swift test --traits BrokenEngines --no-parallel --filter BrokenBalloonTests`.
    @Suite(.serialized) struct BrokenBalloonTests {
        typealias Bench = BalloonBench

        private func breaking(_ engine: BrokenEngine, _ body: () throws -> Void) rethrows {
            BrokenEngine.activate(engine)
            defer { BrokenEngine.deactivate() }
            try body()
        }

        @Test func `acknowledgesBeforeDiscard: a page is there still when its buffer comes back`() throws {
            try breaking(.acknowledgesBeforeDiscard) {
                let bench = try Bench.live()
                try bench.populate(count: 1)
                try bench.send([Bench.dataFrame], Bench.inflate)
                #expect(try bench.content(count: 1) == [0x5A])
            }
        }

        @Test func `reportsLate: what the guest has written since is gone`() throws {
            try breaking(.reportsLate) {
                let bench = try Bench.live([.version1, .reporting])
                for block in UInt64(0)..<3 {
                    try bench.driver.hint([(address: Bench.data + block << 12, byteCount: 0x1000)], queue: 2)
                    _ = try bench.driver.settle(queue: 2)
                    if block == 0 { try bench.populate(count: 1) }
                }
                #expect(try bench.content(count: 1) == [0])
            }
        }

        @Test func `forgetsStatisticsElement: the guest is never asked again where it arrives`() throws {
            try breaking(.forgetsStatisticsElement) {
                let source = try Bench.live([.version1, .statistics], hasThread: false)
                try source.queue([4, 0, 1, 0, 0, 0, 0, 0, 0, 0], 2)
                while source.device.serve() {}
                source.slot.park()
                let destination = try BalloonBench(memory: source.memory, hasThread: false)
                destination.slot.park()
                try destination.slot.restoreState(source.slot.saveState())
                destination.slot.unpark()
                destination.device.requestStatistics()
                while destination.device.serve() {}
                #expect(try source.driver.rings[2].usedIndex() == 0)
            }
        }

        @Test func `ignoresPoison: pages that the guest has filled become zero`() throws {
            try breaking(.ignoresPoison) {
                let bench = try BalloonBench()
                try bench.driver.start([.version1, .pagePoison, .reporting], poison: 0x5A5A_5A5A)
                try bench.populate(count: 1)
                try bench.driver.hint([(address: Bench.data, byteCount: 0x1000)], queue: 2)
                _ = try bench.driver.settle(queue: 2)
                #expect(try bench.content(count: 1) == [0])
            }
        }

        @Test(.enabled(if: TestBacking.hostHasHugePages, "needs 16 free huge pages"))
        func `discardsPartialHugePage: the rest of the huge page is gone`() throws {
            try breaking(.discardsPartialHugePage) {
                let backed = try BackedMemory(.hugePages, pages: 8 * 512)
                let options = BalloonOptions(offersMustTellHost: true)
                let bench = try Bench.live([.version1, .mustTellHost], options: options, memory: backed.memory)
                try bench.populate(count: 2)
                try bench.send([Bench.dataFrame], Bench.inflate)
                #expect(try bench.content(count: 2) == [0, 0])
            }
        }
    }
#endif
