import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio

/// One process that can run the guest: its RAM, tracker and balloon device.
///
/// Memory, device, registers and rings are real. The device's lock is modelled in addition: all actors share one thread, so an actor that
/// would wait for the lock in reality must wait here before it calls.
final class Machine: Guest, @unchecked Sendable {
    unowned let world: World
    let number: Int
    let memory: GuestRAM
    let device: BalloonDevice
    private let slot: DeviceSlot
    var transport: VirtioMMIOTransport { slot.transport! }
    private let simulatedTracker: SimulatedTracker
    private lazy var simulatedHinting = SimulatedHinting(self, device)
    let line: InterruptLine

    /// Whether the machine is paused. A destination begins paused.
    private(set) var isPaused: Bool
    /// Whether the hint thread holds the device's lock.
    var isDeviceLocked = false
    /// Whether memory is being given back. The engine does not wait for this; only a pause of the machine does.
    var isGivingBack = false
    /// Lets others run in the middle of a discard that the device makes, unless that discard is one step.
    let discards: DiscardWatch
    /// Whether the hint thread's bell was rung.
    private var isBellRung = false
    /// Whether the engine has the guest. A person's pause and resume then wait until the migration is over.
    var isTakenOver = false
    /// Whether a person is pausing or resuming the machine at the moment.
    var isPersonBusy = false

    final class InterruptLine: @unchecked Sendable {
        var isRaised = false
    }

    init(_ world: World, _ regions: RegionTable, isPaused: Bool) throws(SystemError) {
        self.world = world
        number = world.machines.count
        memory = try world.scenario[.memoryFile] == 0 ? GuestRAM(regions) : Self.fileMemory(regions)
        discards = DiscardWatch(world, memory)
        let line = InterruptLine()
        self.line = line
        device = try BalloonDevice(memory, options: BalloonOptions(), clock: Self.clock(world), hasThread: false) { level in
            if level { line.isRaised = true }
        }
        slot = DeviceSlot(device, memory)
        simulatedTracker = SimulatedTracker(world, memory)
        self.isPaused = isPaused
        if isPaused { slot.park() }
        world.machines.append(self)
        world.scheduler.spawn("hints\(number)", speed: world.scenario[.hintThread]) { [unowned self] in runHintThread() }
    }

    private static func clock(_ world: World) -> BalloonClock {
        BalloonClock(
            now: { [unowned world] in world.scheduler.instant },
            wallMilliseconds: { [unowned world] in UInt64(world.scheduler.now / 1_000_000) }
        )
    }

    private static func fileMemory(_ regions: RegionTable) throws(SystemError) -> GuestRAM {
        do throws(MemoryBlockError) {
            return try GuestRAM(regions, blocks: regions.regions.map { MemoryBlock($0, .memfd) })
        } catch {
            preconditionFailure("the simulator itself: \(error)")
        }
    }

    var tracker: any DirtyTracker { simulatedTracker }
    var hinting: (any FreePageHinting)? { simulatedHinting }
    static let requirements = [DeviceSection(name: "simulated", version: 3, bytes: [1, 2])]
    var requirements: [DeviceSection] { Self.requirements }

    /// Wakes the hint thread if the device's doorbell was rung.
    func hearDoorbell() { if device.doorbells[0].answer() { isBellRung = true } }
    /// The digests of all pages. Pages that do not exist count as zero.
    func digests() -> [UInt64] {
        let existing = try? PageSet(pageCount: memory.pageCount)
        guard let existing, (try? memory.insertPresentPages(into: existing)) != nil else {
            preconditionFailure("the simulator itself: no presence")
        }
        return (0..<memory.pageCount).map { existing.contains(PageIndex($0)) ? memory.digest(PageIndex($0)) : PageDigest.zeroPage }
    }

    /// Asks for statistics, like a person or a host that checks how much its guests use. The caller has awaited the device.
    func askForStatistics() {
        device.requestStatistics()
        hearDoorbell()
    }

    /// Sleeps until nobody holds the device's lock.
    func awaitDevice() {
        world.perhapsYield()
        if isDeviceLocked, world.scheduler.current?.name == "source" { world.reached(.engineWaitsForHint) }
        while isDeviceLocked, !world.isOver { world.scheduler.sleep { !self.isDeviceLocked || self.world.isOver } }
    }

    private func runHintThread() {
        while !world.isOver {
            world.scheduler.sleep { self.isBellRung || self.world.isOver }
            isBellRung = false
            // A woken thread may not run soon.
            if world.scheduler.chance(oneIn: world.scenario[.hintStall]) {
                let steps = world.scheduler.pick(1..<world.scenario[.hintDelay])
                world.scheduler.sleep(until: world.scheduler.now + steps * world.scenario[.step])
            }
            while !world.isOver {
                isDeviceLocked = true
                let more = world.scenario[.queues] == 1 ? discards.withOthersBetween { device.serve() } : device.serve()
                isDeviceLocked = false
                world.scheduler.yield()
                if !more { break }
            }
        }
    }

    // MARK: Guest

    /// Whenever this is called, vCPUs are between two steps and do not begin another one. So nothing more is needed to stop them.
    func pause() throws(GuestError) {
        world.scheduler.yield()
        isPaused = true
        awaitDevice()
        // The device may begin another step while this waits for the memory that is being given back.
        while isGivingBack || isDeviceLocked, !world.isOver {
            world.scheduler.sleep { !self.isGivingBack && !self.isDeviceLocked || self.world.isOver }
        }
        // At the end of the world nobody finishes the step.
        if isDeviceLocked { return }
        slot.park()
        world.note("machine \(number) is paused")
    }

    func resume() throws(GuestError) {
        world.scheduler.yield()
        if world.scenario[.resumeFails] == 1, world.migrations.last?.destination === self {
            throw GuestError("it does not wake up")
        }
        run()
    }

    func run() {
        world.note("machine \(number) runs")
        world.guestArrives(at: self)
        isPaused = false
        slot.unpark()
        hearDoorbell()
    }

    func saveDeviceState() throws(GuestError) -> [DeviceSection] {
        if world.scenario[.saveFails] == 1 { throw GuestError("no state today") }
        return slot.saveState()
    }

    func loadDeviceState(_ sections: [DeviceSection]) throws(GuestError) {
        if world.scenario[.loadFails] == 1 { throw GuestError("not today") }
        world.perhapsYield()
        do throws(DeviceStateError) { try slot.restoreState(sections) } catch { throw GuestError("\(error)") }
    }

    func memoryUse() -> MemoryUse? { nil }
}

/// A tracker that uses the write door's log. It is armed and harvested page by page, and others may run in between.
final class SimulatedTracker: DirtyTracker, @unchecked Sendable {
    private unowned let world: World
    private let memory: GuestRAM

    init(_ world: World, _ memory: GuestRAM) {
        self.world = world
        self.memory = memory
    }

    var name: String { "simulated" }

    func arm() {
        world.note("arming")
        memory.isLoggingWrites = true
        forEachWrittenPage { memory.writeLog.remove($0) }
        world.note("armed")
    }

    func harvest(into dirty: PageSet) {
        precondition(memory.isLoggingWrites, "harvest before arm")
        world.note("harvest begins")
        forEachWrittenPage {
            memory.writeLog.remove($0)
            dirty.insert($0)
        }
        if (0..<memory.pageCount).contains(where: { memory.writeLog.contains(PageIndex($0)) }) { world.reached(.harvestMeetsWrite) }
        world.note("harvest ends")
    }

    private func forEachWrittenPage(_ body: (PageRun) -> Void) {
        for index in 0..<memory.pageCount {
            world.perhapsYield(oneIn: 16)
            if memory.writeLog.contains(PageIndex(index)) { body(PageRun(first: PageIndex(index), count: 1)) }
        }
    }

    func disarm() {
        memory.isLoggingWrites = false
        memory.writeLog.removeAll()
    }
}

/// The real device's hinting. Others may run before and after each call, and in the middle of each hint.
final class SimulatedHinting: FreePageHinting, @unchecked Sendable {
    private unowned let machine: Machine
    private let device: BalloonDevice
    private var world: World { machine.world }

    init(_ machine: Machine, _ device: BalloonDevice) {
        self.machine = machine
        self.device = device
    }

    private func calling<Result>(_ body: () -> Result) -> Result {
        machine.awaitDevice()
        let result = body()
        world.perhapsYield()
        return result
    }

    var isAvailable: Bool { calling { world.scenario[.hints] == 1 && device.isAvailable } }

    var fillsFreedPages: Bool { calling { device.fillsFreedPages } }

    func begin(reportingTo sink: any HintSink) -> CommandID {
        calling {
            let id = device.begin(reportingTo: HintTap(world, sink))
            world.migrations.last?.hints.commands += 1
            world.note("command \(id)")
            return id
        }
    }

    func stop() {
        calling {
            world.note("hints stop")
            device.stop()
        }
    }

    func done(heard: (@Sendable () -> Void)?) {
        calling {
            world.note("hints done")
            guard let heard else { return device.done() }
            device.done { [machine] in
                machine.world.note("the driver has heard that hints are done")
                machine.world.migrations.last?.disturbSource()
                heard()
            }
        }
    }

    var statistics: HintStatistics { calling { device.statistics } }
    var balloonFigures: BalloonFigures { calling { device.balloonFigures } }
    func resetStatistics() { calling { device.resetStatistics() } }
}

/// Sits between device and ledger, so that a popped hint is not applied at once.
final class HintTap: HintSink, @unchecked Sendable {
    private unowned let world: World
    private let sink: any HintSink

    init(_ world: World, _ sink: any HintSink) {
        self.world = world
        self.sink = sink
    }

    func hintsOpened(_ id: CommandID) { sink.hintsOpened(id) }

    func hintsStarted(_ id: CommandID) {
        world.migrations.last?.disturbSource()
        sink.hintsStarted(id)
    }

    func hintsStopped(_ id: CommandID) {
        world.migrations.last?.disturbSource()
        sink.hintsStopped(id)
    }

    func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome {
        world.perhapsYield()
        let outcome = sink.hint(id, address: address, byteCount: byteCount)
        world.note("hint \(id) \(address)+\(byteCount): \(outcome)")
        switch outcome {
        case .taken where sink is FreePageSurvey:
            world.reached(.surveyed)
        case .taken(let pages, let skipped):
            world.migrations.last?.hints.reported += pages
            world.reached(skipped > 0 ? .hintSpared : .hintTaken)
        // The device rejects stale blocks before they get here.
        case .stale: break
        case .invalid: world.reached(.hintInvalid)
        }
        world.perhapsYield()
        return outcome
    }
}
