import AerostatBalloon
import AerostatGuestMemory
import AerostatMigration
import AerostatVirtio

/// The balloon driver's own state.
struct DriverState {
    enum Round { case idle, starting, reporting, stopping }
    var round = Round.idle
    /// The command id that configuration space showed last.
    var seenID = CommandID.stop
    var activeID = CommandID.stop
    /// The device has the buffer with the id, so the buffer must not change (Linux changes it).
    var isStartOut = false
    /// Whether the driver waits for room in the ring.
    var waitsForUsed = false
    var outstanding = 0

    var wantsReset = false
    var wantsToBreakRing = false
    var wantsToLie = false
    var lies = false
}

// A balloon driver that behaves like Linux's: a new id begins a round, STOP ends it while the blocks stay held, DONE gives them back. Its
// ring is the real driver side, whose state lies in guest RAM and moves with it.
extension SimulatedGuest {
    private var hintQueue: UInt32 { world.scenario[.statistics] > 0 ? 3 : 2 }
    private enum Token: UInt64 { case block, start, stop }
    private enum Next { case again, sleep }

    var features: VirtioFeatures {
        var features: VirtioFeatures = [.version1, .eventIndex, .indirectDescriptors, .freePageHint]
        if world.scenario[.poison] != 0 { features.insert(.pagePoison) }
        if world.scenario[.statistics] > 0 { features.insert(.statistics) }
        if world.scenario[.reportPercent] > 0 { features.insert(.reporting) }
        return features
    }

    func pageAddress(_ page: Int) -> GuestAddress { world.regions.address(of: PageIndex(page)) }

    private var layout: VirtqueueLayout {
        let size = UInt16(world.scenario[.ring])
        return VirtqueueLayout(
            size: size,
            descriptorTable: pageAddress(0),
            driverArea: GuestAddress(pageAddress(0).rawValue + 16 * UInt64(size)),
            deviceArea: pageAddress(1)
        )
    }

    /// The driver's view of its ring on the machine where it runs now.
    private var ring: SplitVirtqueueDriver {
        do throws(VirtqueueError) {
            return try SplitVirtqueueDriver(
                machine.memory,
                layout,
                stateAddress: GuestAddress(pageAddress(0).rawValue + 2048),
                features: features
            )
        } catch {
            preconditionFailure("the driver's own ring: \(error)")
        }
    }

    /// Reset to DRIVER_OK, as at boot.
    func setUpDriver() {
        let transport = machine.transport
        transport.write(.status, 0)
        ring.format()
        let isAccepted = transport.negotiate(features)
        precondition(isAccepted, "the device refuses its own features")
        transport.setUp(queue: Int(hintQueue), layout)
        setUpBalloonQueues()
        if world.scenario[.poison] != 0 {
            let poison = UInt64(UInt32(world.scenario[.poison]) * 0x0101_0101)
            transport.write(
                offset: VirtioMMIO.configurationOffset + UInt64(BalloonConfiguration.poisonOffset),
                width: 4,
                value: poison
            )
        }
        transport.driverOK()
        offerStatistics()
        machine.hearDoorbell()
    }

    // MARK: Running

    func runDriver() {
        while !world.isOver {
            sleep { [self] in
                machine.line.isRaised || driver.wantsReset || driver.wantsToBreakRing || driver.wantsToLie || hasBalloonWork
            }
            var next = Next.again
            while next == .again, !world.isOver {
                yield()
                guard !world.isOver else { break }
                if driver.wantsReset { reset() }
                if driver.wantsToBreakRing { breakRing() }
                if driver.wantsToLie {
                    driver.wantsToLie = false
                    driver.lies = true
                }
                if machine.line.isRaised { readNews() }
                next = advance()
                if serveBalloonQueues() { next = .again }
            }
        }
    }

    /// Waits like a vCPU whose register access waits for the device. Afterwards the guest may be on another machine.
    private func awaitDevice() {
        repeat {
            stopWhilePaused()
            machine.awaitDevice()
        } while (machine.isPaused || machine.isDeviceLocked) && !world.isOver
    }

    private func readNews() {
        awaitDevice()
        machine.line.isRaised = false
        machine.transport.write(.interruptAcknowledge, machine.transport.read(.interruptStatus))
        awaitDevice()
        if machine.transport.read(.status) & VirtioMMIO.Status.needsReset != 0 { return reset() }
        awaitDevice()
        let offset = VirtioMMIO.configurationOffset + UInt64(BalloonConfiguration.commandIDOffset)
        driver.seenID = CommandID(rawValue: UInt32(truncatingIfNeeded: machine.transport.read(offset: offset, width: 4)))
        world.note("driver sees \(driver.seenID)")
    }

    private func advance() -> Next {
        reap()
        driver.waitsForUsed = false
        switch driver.round {
        case .idle:
            if driver.seenID == .done, let extent = held.popLast() {
                world.note("driver takes back \(extent.range)")
                release(extent)
                return .again
            }
            guard driver.seenID.rawValue >= CommandID.minimum.rawValue, driver.seenID != driver.activeID else { return .sleep }
            driver.activeID = driver.seenID
            driver.round = .starting
            return .again
        case .starting:
            guard driver.seenID == driver.activeID else {
                driver.round = .idle
                return .again
            }
            guard !driver.isStartOut || world.scenario[.oneWord] == 1 else { return sleepUnlessUsed() }
            guard send(command: driver.activeID, .start) else { return sleepUnlessUsed() }
            driver.isStartOut = true
            driver.round = .reporting
            return .again
        case .reporting:
            if driver.lies { return tellLies() }
            guard driver.seenID == driver.activeID else {
                driver.round = .stopping
                return .again
            }
            guard ring.freeDescriptors > 1 else { return sleepUnlessUsed() }
            guard reportExtent() else {
                driver.round = .stopping
                return .again
            }
            return .again
        case .stopping:
            guard send(command: .stop, .stop) else { return sleepUnlessUsed() }
            driver.round = .idle
            return .again
        }
    }

    private func sleepUnlessUsed() -> Next { ring.enableInterrupt(after: 1) ? .again : .sleep }

    private func reap() {
        do throws(VirtqueueError) {
            while let used = try ring.popUsed() {
                driver.outstanding -= 1
                if used.token == Token.start.rawValue { driver.isStartOut = false }
            }
        } catch {
            world.fail(.held, "the driver's ring on machine \(machine.number): \(error)")
        }
        _ = ring.setInterrupts(enabled: false)
    }

    private func add(_ segment: VirtqueueSegment, _ token: Token) -> Bool {
        guard ring.add([segment], token: token.rawValue) else { return false }
        driver.outstanding += 1
        yield(oneIn: 4)
        if ring.kickNeeded() {
            machine.transport.write(.queueNotify, hintQueue)
            machine.hearDoorbell()
        }
        return true
    }

    private func send(command: CommandID, _ token: Token) -> Bool {
        guard ring.freeDescriptors > 0 else { return false }
        let place = GuestAddress(pageAddress(2).rawValue + (token == .start ? 0 : 64))
        let isInside: Void? = try? machine.memory.store(command.rawValue, at: place)
        precondition(isInside != nil, "the driver's own page")
        return add(VirtqueueSegment(address: place, length: 4, isWritable: false), token)
    }

    // MARK: Blocks

    /// Holds the next run of free pages and queues it.
    private func reportExtent() -> Bool {
        guard let first = states.indices.first(where: { states[$0] == .free && $0 >= reservedPages }) else { return false }
        var count = 1
        let base = pageAddress(first).rawValue
        while count < world.scenario[.blockPages], first + count < states.count, states[first + count] == .free,
            pageAddress(first + count).rawValue == base + UInt64(count * GuestPage.size)
        {
            count += 1
        }
        let extent = Extent(first: first, count: count)
        for page in extent.range { states[page] = .held }
        if world.scenario[.clears] == 1 { clear(extent) }
        held.append(extent)
        var start = base
        var end = base + UInt64(extent.count * GuestPage.size)
        if percent(world.scenario[.raggedPercent]) { (start, end) = ragged(start, end) }
        world.note("driver holds \(extent.range)")
        return add(
            VirtqueueSegment(address: GuestAddress(start), length: UInt32(end - start), isWritable: true),
            .block
        )
    }

    /// Extends a block over parts of the neighbouring pages, which may be in use, or beyond the end of RAM.
    private func ragged(_ start: UInt64, _ end: UInt64) -> (UInt64, UInt64) {
        var (start, end) = (start, end)
        if scheduler.chance(oneIn: 2), start > 0 { start -= UInt64(scheduler.pick(1..<GuestPage.size)) }
        if world.regions.page(containing: GuestAddress(end)) == nil {
            end += UInt64(scheduler.pick(1..<3 * GuestPage.size))
        } else if scheduler.chance(oneIn: 2) {
            end += UInt64(scheduler.pick(1..<GuestPage.size))
        }
        return (start, end)
    }

    /// Queues meaningless commands and blocks, once.
    private func tellLies() -> Next {
        driver.lies = false
        driver.round = .stopping
        world.note("driver lies")
        let lies: [UInt64] = [1 << 40, .max - 4096, pageAddress(states.count - 1).rawValue + 4096 * 64]
        for address in lies where ring.freeDescriptors > 1 {
            _ = add(VirtqueueSegment(address: GuestAddress(address), length: .max, isWritable: true), .block)
            guard !world.isOver else { break }
        }
        return .again
    }

    // MARK: Bad days

    /// Boots a new kernel or restarts the driver. The held pages are then simply free.
    private func reset() {
        driver.wantsReset = false
        awaitDevice()
        guard !world.isOver else { return }
        world.note("driver resets the device" + (machine.device.fault.map { ": \($0)" } ?? ""))
        if world.migrations.last?.isOver == false { world.reached(machine.device.fault == nil ? .deviceReset : .ringBroken) }
        machine.transport.write(.status, 0)
        machine.line.isRaised = false
        driver = DriverState()
        while let extent = held.popLast() { release(extent) }
        forgetBalloon()
        yield()
        awaitDevice()
        guard !world.isOver else { return }
        setUpDriver()
    }

    /// Writes an index that no correct driver writes: far away, or one chain more than the ring holds. The device then counts as broken,
    /// and says so.
    private func breakRing() {
        driver.wantsToBreakRing = false
        world.note("driver breaks its ring")
        let place = GuestAddress(layout.driverArea.rawValue + 2)
        let jump = scheduler.chance(oneIn: 2) ? 40_000 : layout.size + 1
        do throws(AccessError) {
            try machine.memory.storeRelease(try machine.memory.load(UInt16.self, at: place) &+ jump, at: place)
        } catch {
            preconditionFailure("the driver's own ring: \(error)")
        }
        machine.transport.write(.queueNotify, hintQueue)
        machine.hearDoorbell()
    }

    func checkDriverAtRest() {
        reap()
        if driver.outstanding != 0 { world.fail(.held, "\(driver.outstanding) buffers of the driver never came back") }
        guard driver.round == .idle else { return world.fail(.progress, "the driver is stuck while \(driver.round)") }
    }
}
