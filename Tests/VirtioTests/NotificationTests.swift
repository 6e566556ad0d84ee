import AerostatGuestMemory
import AerostatVirtio
import TestSupport
import Testing

@Suite struct NotificationTests {
    static let plain: VirtioFeatures = [.version1]
    static let eventIndex: VirtioFeatures = [.version1, .eventIndex]

    @Test func `Without EVENT_IDX the flags decide, in both directions`() throws {
        let bench = try RingBench(features: Self.plain)
        bench.queue.push(head: 0, length: 0)
        #expect(bench.queue.needsInterrupt())
        try bench.raw.setAvailableFlags(1)
        bench.queue.push(head: 0, length: 0)
        #expect(!bench.queue.needsInterrupt())
        bench.queue.suppressKicks()
        #expect(try bench.raw.usedFlags() == 1)
        #expect(!bench.queue.enableKicks())
        #expect(try bench.raw.usedFlags() == 0)
    }

    @Test(arguments: [0, 5, 0xFFFD] as [UInt16])
    func `With EVENT_IDX an interrupt is due exactly when the used index passes the event`(start: UInt16) throws {
        let bench = try RingBench(features: Self.eventIndex)
        for event in -3..<12 {
            for pushed in 1...6 {
                let position = VirtqueuePosition(nextUsed: start)
                let queue = TestQueue(
                    try SplitVirtqueue(bench.memory, bench.raw.layout, features: Self.eventIndex, position: position)
                )
                #expect(queue.needsInterrupt(), "what was signalled before a restore is unknown")
                try bench.raw.setUsedEvent(start &+ UInt16(truncatingIfNeeded: event))
                for _ in 0..<pushed { queue.push(head: 0, length: 0) }
                #expect(queue.needsInterrupt() == (0..<pushed).contains(event), "event \(event), pushed \(pushed)")
                #expect(try bench.raw.usedFlags() == 0)
            }
        }
    }

    @Test(arguments: [plain, eventIndex])
    func `A chain that arrives before kicks are enabled again is not missed`(features: VirtioFeatures) throws {
        var bench = try RingBench(features: features)
        bench.queue.suppressKicks()
        #expect(!bench.queue.enableKicks())
        try bench.raw.send([segment(0x3000, 4, writable: true)])
        #expect(bench.queue.enableKicks())
        _ = try bench.queue.pop()
        bench.queue.suppressKicks()
        #expect(!bench.queue.enableKicks())
        if features.contains(.eventIndex) { #expect(try bench.raw.availableEvent() == 1) }
    }
}

@Suite struct SplitVirtqueueDriverTests {
    private static let state = GuestAddress(0x3_0000)

    @Test(
        arguments: [NotificationTests.plain, NotificationTests.eventIndex],
        [1, 2, 3] as [UInt64]
    )
    func `Driver and device always agree, even if the driver moves to another process in between`(
        features: VirtioFeatures,
        seed: UInt64
    ) throws {
        var random = SeededGenerator(seed: seed)
        let bench = try RingBench(size: 16, features: features)
        func attach() throws -> SplitVirtqueueDriver {
            try SplitVirtqueueDriver(bench.memory, bench.raw.layout, stateAddress: Self.state, features: features)
        }
        var driver = try attach()
        driver.format()
        var added: [(token: UInt64, segments: [VirtqueueSegment])] = []
        var atDevice: [(chain: DescriptorChain, token: UInt64)] = []
        var returned: [(token: UInt64, length: UInt32)] = []
        var free = 16
        var segmentsOf: [UInt64: Int] = [:]
        var deviceSleeps = false
        var kicked = false
        for step in 0..<60_000 {
            switch Int.random(in: 0..<5, using: &random) {
            case 0:
                let token = random.next()
                let segments = (0..<Int.random(in: 1...4, using: &random)).map { segment(0x4000, UInt32($0 + 1), writable: true) }
                let fits = segments.count <= free
                try #require(driver.add(segments, token: token) == fits, "seed \(seed), step \(step)")
                guard fits else { continue }
                free -= segments.count
                segmentsOf[token] = segments.count
                added.append((token, segments))
                if driver.kickNeeded() { kicked = true }
            case 1:
                if deviceSleeps {
                    // What notifications promise: a sleeping device with work to do was kicked.
                    try #require(kicked || added.isEmpty, "seed \(seed), step \(step): a lost kick")
                    guard kicked else { continue }
                    (deviceSleeps, kicked) = (false, false)
                }
                if let chain = try bench.queue.pop() {
                    bench.queue.suppressKicks()
                    let expected = added.removeFirst()
                    try #require(chain.segments == expected.segments, "seed \(seed), step \(step)")
                    atDevice.append((chain, expected.token))
                } else {
                    try #require(added.isEmpty)
                    deviceSleeps = !bench.queue.enableKicks()
                }
            case 2:
                guard !atDevice.isEmpty else { continue }
                let one = atDevice.remove(at: .random(in: 0..<atDevice.count, using: &random))
                let length = UInt32.random(in: 0...UInt32.max, using: &random)
                bench.queue.push(head: one.chain.head, length: length)
                returned.append((one.token, length))
            case 3:
                let used = try driver.popUsed()
                let expected = returned.isEmpty ? nil : returned.removeFirst()
                try #require(used?.token == expected?.token && used?.length == expected?.length, "seed \(seed), step \(step)")
                if let used { free += segmentsOf.removeValue(forKey: used.token)! }
                try #require(driver.freeDescriptors == free)
            default:
                driver = try attach()
            }
        }
    }

    @Test(arguments: [NotificationTests.plain, NotificationTests.eventIndex]
    )
    func `Disabled interrupts are not sent, and enabling them reports chains that came in the meantime`(features: VirtioFeatures) throws {
        let bench = try RingBench(features: features)
        let driver = try SplitVirtqueueDriver(bench.memory, bench.raw.layout, stateAddress: Self.state, features: features)
        driver.format()
        _ = bench.queue.needsInterrupt()
        func roundTrip() throws -> Bool {
            #expect(driver.add([segment(0x4000, 1, writable: true)], token: 7))
            bench.queue.push(head: try #require(try bench.queue.pop()).head, length: 0)
            return bench.queue.needsInterrupt()
        }
        #expect(try roundTrip())
        #expect(driver.setInterrupts(enabled: false))
        #expect(try driver.popUsed()?.token == 7)
        #expect(try !roundTrip())
        #expect(driver.setInterrupts(enabled: true))
        #expect(try driver.popUsed()?.token == 7)
        #expect(!driver.setInterrupts(enabled: true))
        // While they are on, every interrupt arrives.
        for _ in 0..<20 {
            #expect(try roundTrip())
            #expect(try driver.popUsed()?.token == 7)
        }
    }

    @Test(arguments: [NotificationTests.plain, NotificationTests.eventIndex]
    )
    func `One kick is needed for what was added, and none for a device that is awake`(features: VirtioFeatures) throws {
        let bench = try RingBench(features: features)
        let driver = try SplitVirtqueueDriver(bench.memory, bench.raw.layout, stateAddress: Self.state, features: features)
        driver.format()
        #expect(!driver.kickNeeded())
        for _ in 0..<20 {
            #expect(!bench.queue.enableKicks())
            #expect(driver.add([segment(0x4000, 1, writable: true)], token: 0))
            #expect(driver.kickNeeded())
            #expect(!driver.kickNeeded())
            bench.queue.suppressKicks()
            #expect(driver.add([segment(0x4000, 1, writable: true)], token: 0))
            #expect(!driver.kickNeeded())
            while let chain = try bench.queue.pop() { bench.queue.push(head: chain.head, length: 0) }
            while try driver.popUsed() != nil {}
        }
    }

    @Test func `A device that returns what it was not given is an error`() throws {
        let bench = try RingBench()
        let driver = try SplitVirtqueueDriver(bench.memory, bench.raw.layout, stateAddress: Self.state, features: [.version1])
        driver.format()
        bench.queue.push(head: 3, length: 0)
        #expect(throws: VirtqueueError.notOutstanding(id: 3)) { try driver.popUsed() }
    }
}
