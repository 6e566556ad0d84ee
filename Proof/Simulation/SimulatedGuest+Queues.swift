import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatVirtio

/// The balloon's queues other than the one for hints.
enum BalloonRole: Int, CaseIterable {
    case inflate, deflate, statistics, reporting
}

/// The driver's state for these queues, besides the rings.
struct BalloonDriverState {
    /// Pages that wait for room in a ring.
    var waiting: [BalloonRole: [SimulatedGuest.Extent]] = [:]
    /// Pages that the device has, by the token of their buffer.
    var sent: [BalloonRole: [UInt64: [SimulatedGuest.Extent]]] = [:]
    /// Rings whose next used buffer raises an interrupt.
    var armed: Set<BalloonRole> = []
    var nextToken: UInt64 = 0
    var statisticsGiven = 0
}

// The driver's side of inflate, deflate, statistics and reports. It uses real rings of the real device, each in one page of guest RAM.
// Buffers with page numbers lie in the ring's page too.
extension SimulatedGuest {
    private static let ringSize: UInt16 = 8
    private static let numbersPerBuffer = 8
    /// How many blocks a driver reports in one buffer.
    private static let blocksPerReport = 3

    private var usesQueues: Bool { scenario[.queues] == 1 }

    private var roles: [BalloonRole] {
        guard usesQueues else { return [] }
        return BalloonRole.allCases.filter { role in
            switch role {
            case .inflate, .deflate: true
            case .statistics: scenario[.statistics] > 0
            case .reporting: scenario[.reportPercent] > 0
            }
        }
    }

    /// Drivers number only the queues that exist. The queue for hints comes before the one for reports.
    private func number(_ role: BalloonRole) -> Int {
        switch role {
        case .inflate: 0
        case .deflate: 1
        case .statistics: 2
        case .reporting: scenario[.statistics] > 0 ? 4 : 3
        }
    }

    private func place(_ role: BalloonRole, _ offset: Int) -> GuestAddress {
        GuestAddress(pageAddress(Self.hintPages + role.rawValue).rawValue + UInt64(offset))
    }

    private func layout(_ role: BalloonRole) -> VirtqueueLayout {
        VirtqueueLayout(
            size: Self.ringSize,
            descriptorTable: place(role, 0),
            driverArea: place(role, 256),
            deviceArea: place(role, 512)
        )
    }

    private func ring(_ role: BalloonRole) -> SplitVirtqueueDriver {
        do throws(VirtqueueError) {
            return try SplitVirtqueueDriver(machine.memory, layout(role), stateAddress: place(role, 1024), features: features)
        } catch {
            preconditionFailure("the driver's own ring: \(error)")
        }
    }

    func setUpBalloonQueues() {
        for role in roles {
            ring(role).format()
            machine.transport.setUp(queue: number(role), layout(role))
        }
    }

    // MARK: The vCPU

    /// Lends some free blocks to the host, until it gives the report back.
    func report() {
        for _ in 0..<Self.blocksPerReport {
            guard let first = find(.free) else { return }
            var count = 1
            while count < 4, first + count < states.count, states[first + count] == .free { count += 1 }
            let extent = Extent(first: first, count: count)
            for page in extent.range {
                states[page] = .reported
                scribbled[page] = false
            }
            world.note("reports free pages \(extent.range)")
            balloon.waiting[.reporting, default: []].append(extent)
        }
    }

    // MARK: The driver

    /// Whether something waits for which a ring has room.
    var hasBalloonWork: Bool {
        balloon.waiting.contains { !$1.isEmpty && ring($0).freeDescriptors >= Self.blocksPerReport }
    }

    /// - Returns: whether there was something to do.
    func serveBalloonQueues() -> Bool {
        var more = false
        for role in roles where !world.isOver {
            if reap(role) {
                more = true
                balloon.armed.remove(role)
            }
            while let extents = nextBuffer(role), !world.isOver {
                send(extents, role)
                more = true
            }
            // Enable the interrupt only once for the next buffer: it is a write to a page, and a guest at rest makes none.
            if balloon.sent[role]?.isEmpty == false, balloon.armed.insert(role).inserted, ring(role).enableInterrupt(after: 1) {
                more = true
            }
        }
        return more
    }

    /// The pages that go into the next buffer.
    private func nextBuffer(_ role: BalloonRole) -> [Extent]? {
        guard let waiting = balloon.waiting[role], !waiting.isEmpty, ring(role).freeDescriptors >= Self.blocksPerReport else { return nil }
        let count =
            role == .deflate ? min(waiting.count, Self.numbersPerBuffer) : role == .inflate ? 1 : min(waiting.count, Self.blocksPerReport)
        balloon.waiting[role]?.removeFirst(count)
        return Array(waiting.prefix(count))
    }

    private func send(_ extents: [Extent], _ role: BalloonRole) {
        balloon.nextToken += 1
        let token = balloon.nextToken
        var segments: [VirtqueueSegment] = []
        if role == .reporting {
            segments = extents.flatMap { blocks($0) }
        } else {
            segments = [write(extents.flatMap(\.range), role, token)]
        }
        balloon.sent[role, default: [:]][token] = extents
        world.note("\(role) \(extents.map(\.range))")
        add(segments, token, role)
    }

    /// One block for each range of consecutive addresses.
    private func blocks(_ extent: Extent) -> [VirtqueueSegment] {
        machine.memory.contiguousParts(of: PageRun(first: PageIndex(extent.first), count: extent.count)).map { part in
            VirtqueueSegment(address: pageAddress(part.first.rawValue), length: UInt32(part.byteCount), isWritable: true)
        }
    }

    /// Writes the pages' numbers. Each buffer has its own place in the ring's page, because the device may read it late.
    private func write(_ pages: [Int], _ role: BalloonRole, _ token: UInt64) -> VirtqueueSegment {
        let start = place(role, 2048 + Int(token % 32) * 4 * Self.numbersPerBuffer)
        for (index, page) in pages.enumerated() {
            let number = UInt32(pageAddress(page).rawValue >> UInt64(GuestPage.shift))
            store(number, at: GuestAddress(start.rawValue + UInt64(4 * index)))
        }
        return VirtqueueSegment(address: start, length: UInt32(4 * pages.count), isWritable: false)
    }

    private func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at address: GuestAddress) {
        let isInside: Void? = try? machine.memory.store(value, at: address)
        precondition(isInside != nil, "the driver's own page")
    }

    private func add(_ segments: [VirtqueueSegment], _ token: UInt64, _ role: BalloonRole) {
        let isAdded = ring(role).add(segments, token: token)
        precondition(isAdded, "the ring was looked at")
        yield(oneIn: 4)
        guard ring(role).kickNeeded() else { return }
        machine.transport.write(.queueNotify, UInt32(number(role)))
        machine.hearDoorbell()
    }

    /// - Returns: whether a buffer came back.
    private func reap(_ role: BalloonRole) -> Bool {
        var found = false
        do throws(VirtqueueError) {
            while let used = try ring(role).popUsed() {
                found = true
                guard let extents = balloon.sent[role]?.removeValue(forKey: used.token) else {
                    world.fail(.held, "the device gave a buffer of \(role) back that it does not have")
                    return false
                }
                for extent in extents { cameBack(extent, role) }
                if role == .statistics { answerStatistics() }
            }
        } catch {
            world.fail(.held, "the driver's ring for \(role) on machine \(machine.number): \(error)")
        }
        return found
    }

    /// The device has done what the buffer asked for.
    private func cameBack(_ extent: Extent, _ role: BalloonRole) {
        world.note("\(role) of \(extent.range) is done")
        switch role {
        case .inflate:
            lent.removeAll { $0.first == extent.first }
            for page in extent.range { states[page] = .gone }
            world.reached(.inflated)
        case .deflate:
            for page in extent.range {
                // If the driver used the page before it told, the page is in use already or was given up again.
                world.reached(states[page] == .returning ? .deflated : .deflatedLater)
                if states[page] == .returning { use(page) }
            }
        case .reporting:
            for page in extent.range { states[page] = .free }
            world.reached(.reported)
        case .statistics: break
        }
    }

    /// Queues the first buffer, or the answer to a request.
    func offerStatistics() {
        guard usesQueues, scenario[.statistics] > 0 else { return }
        balloon.nextToken += 1
        let start = place(.statistics, 2048)
        store(UInt16(0), at: start)
        store(UInt64(balloon.statisticsGiven), at: GuestAddress(start.rawValue + 2))
        balloon.sent[.statistics, default: [:]][balloon.nextToken] = []
        add([VirtqueueSegment(address: start, length: 10, isWritable: false)], balloon.nextToken, .statistics)
    }

    private func answerStatistics() {
        balloon.statisticsGiven += 1
        world.reached(.statisticsAsked)
        offerStatistics()
    }

    // MARK: Bad days, and the end

    /// The device was reset. Its balloon is empty, and nobody knows how far it got with the buffers that it had.
    func forgetBalloon() {
        guard usesQueues else { return }
        let given = balloon.statisticsGiven
        balloon = BalloonDriverState()
        balloon.statisticsGiven = given
        lent = []
        for page in reservedPages..<states.count where [.lent, .gone, .returning, .reported].contains(states[page]) {
            states[page] = .free
            scribbled[page] = true
        }
    }

    func checkBalloonAtRest() {
        guard usesQueues else { return }
        for role in roles {
            let waiting = balloon.waiting[role]?.count ?? 0
            let sent = balloon.sent[role]?.count ?? 0
            guard waiting == 0, sent == (role == .statistics ? 1 : 0) else {
                return world.fail(.held, "\(sent) buffers of \(role) never came back, and \(waiting) wait for them")
            }
        }
    }
}
