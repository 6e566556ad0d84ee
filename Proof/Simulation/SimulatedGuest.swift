import AerostatGuestMemory
import AerostatVirtio
import TestSupport

/// The guest: which pages it uses and what it wrote to them. Its vCPU and its balloon driver are two actors, which move with it.
///
/// Each page in use holds three stamps, at its beginning, in its middle and at its end, so that half-written and half-sent pages are
/// noticed.
final class SimulatedGuest {
    unowned let world: World
    /// The machine where the guest is.
    var machine: Machine

    enum PageState {
        case used, free, held
        /// On its way to the host, gone, and on its way back.
        case lent, gone, returning
        /// Free, and lent to the host until the device gives the report back.
        case reported
    }
    /// A run of pages that the driver holds for the host.
    struct Extent {
        let first: Int
        let count: Int
        var range: Range<Int> { first..<first + count }
    }

    var states: [PageState]
    /// The stamps that the places of each page hold while the page is in use.
    private var stamps: [UInt64]
    /// Whether the guest wrote to a page after it gave it to the host. Such a page may hold anything.
    var scribbled: [Bool]
    /// For each page, the machine from whose memory it was given back last.
    private(set) var goneAt: [Int]
    /// Runs on their way to the host.
    var lent: [Extent] = []
    var held: [Extent] = []
    private var lastStamp: UInt64 = 0
    /// The driver's state besides that of the rings, which lies in guest RAM.
    var driver = DriverState()
    var balloon = BalloonDriverState()
    /// Whether each page was filled with poison and not touched since.
    private var poisoned: [Bool]
    /// Steps that the vCPU has made.
    private(set) var opCount = 0
    private(set) var isWorkDone = false

    private static let places = [0, 2048, 4088]
    /// The driver's pages: descriptors and its own state; used ring; commands; a page for each of the other queues.
    let reservedPages: Int
    static let hintPages = 3

    var scenario: Scenario { world.scenario }
    var scheduler: Scheduler { world.scheduler }
    private var pageCount: Int { states.count }

    init(_ world: World, _ machine: Machine) {
        self.world = world
        self.machine = machine
        let count = world.regions.pageCount
        states = Array(repeating: .used, count: count)
        stamps = Array(repeating: 0, count: count * Self.places.count)
        scribbled = Array(repeating: false, count: count)
        goneAt = Array(repeating: -1, count: count)
        poisoned = Array(repeating: false, count: count)
        reservedPages = Self.hintPages + (world.scenario[.queues] == 1 ? BalloonRole.allCases.count : 0)
        for page in reservedPages..<count {
            if percent(world.scenario[.freePercent]) {
                states[page] = .free
                if percent(world.scenario[.absentPercent]) { continue }
            }
            for place in Self.places.indices { store(newStamp(), page, place) }
            if states[page] == .free { fillWithPoison(page) }
        }
        setUpDriver()
    }

    func percent(_ share: Int) -> Bool { share > 0 && scheduler.pick(0..<100) < share }

    // MARK: Running

    /// The point between two steps of a vCPU. Others may run first. A paused vCPU waits here until its machine, or another one, runs it.
    func yield(oneIn count: Int = 2) {
        world.perhapsYield(oneIn: count)
        stopWhilePaused()
    }

    func stopWhilePaused() {
        while machine.isPaused, !world.isOver { scheduler.sleep { !self.machine.isPaused || self.world.isOver } }
    }

    /// Sleeps until a condition holds and the guest runs.
    func sleep(for condition: @escaping () -> Bool) {
        scheduler.sleep { self.world.isOver || !self.machine.isPaused && condition() }
    }

    func runVCPU() {
        while opCount < scenario[.ops], !world.isOver {
            scheduler.yield()
            stopWhilePaused()
            guard !world.isOver else { break }
            opCount += 1
            step()
        }
        isWorkDone = true
    }

    private func step() {
        if opCount == scenario[.resetAt] { driver.wantsReset = true }
        if opCount == scenario[.breakRingAt] { driver.wantsToBreakRing = true }
        if opCount == scenario[.lieAt] { driver.wantsToLie = true }
        if percent(scenario[.discardPercent]) { return hostTakesPage() }
        if percent(scenario[.shrinkPercent]) { return shrink() }
        if percent(scenario[.giveBackPercent]) { return giveBack() }
        if percent(scenario[.reportPercent]) { return report() }
        switch scheduler.pick(0..<8) {
        case 0: free()
        case 1, 2: allocate()
        case 3: scheduler.sleep(until: scheduler.now + scheduler.pick(1..<20_000_000))
        default: writeUsed()
        }
    }

    // MARK: Pages

    /// Whether the guest has given the page up, so that it may have been hinted, and nobody has given it back to the host.
    func mayBeHinted(_ page: Int) -> Bool { [.free, .held, .lent, .reported].contains(states[page]) }
    func describe(_ page: Int) -> String { "\(states[page])" + (scribbled[page] ? ", written while it was given back" : "") }

    func newStamp() -> UInt64 {
        lastStamp += 1
        return percent(scenario[.zeroPercent]) ? 0 : lastStamp << 8 | 0xA5
    }

    private func address(_ page: Int, _ offset: Int) -> GuestAddress {
        GuestAddress(world.regions.address(of: PageIndex(page)).rawValue + UInt64(offset))
    }

    /// Makes one store of the vCPU, and records what the page must hold from now on.
    private func store(_ stamp: UInt64, _ page: Int, _ place: Int) {
        storeInVain(stamp, page, place)
        stamps[page * Self.places.count + place] = stamp
    }

    /// Makes a store whose result is not checked.
    func storeInVain(_ stamp: UInt64, _ page: Int, _ place: Int) {
        do throws(AccessError) { try machine.memory.store(stamp, at: address(page, Self.places[place])) } catch {
            preconditionFailure("the guest's own page: \(error)")
        }
    }

    /// Expects the page to read as zero, as if the guest had written zeros.
    func expectZeros(_ page: Int) {
        for place in Self.places.indices { stamps[page * Self.places.count + place] = 0 }
    }

    private func write(_ page: Int) {
        let stamp = newStamp()
        for place in Self.places.indices {
            // The other actor may have freed the page meanwhile. A vCPU writes only to pages in use.
            guard states[page] == .used, !world.isOver else { return }
            store(stamp, page, place)
            yield(oneIn: 3)
        }
        world.note("wrote page \(page)")
    }

    private func writeUsed() {
        guard let page = find(.used) else { return }
        write(page)
    }

    /// A random page in this state.
    func find(_ state: PageState) -> Int? {
        let start = scheduler.pick(reservedPages..<pageCount)
        for offset in 0..<pageCount {
            let page = (start + offset) % pageCount
            if page >= reservedPages, states[page] == state { return page }
        }
        return nil
    }

    private func allocate() {
        guard let page = find(.free) else { return }
        take(page)
    }

    /// Takes a free page into use. The whole page is written before it counts as used.
    func take(_ page: Int) {
        checkPoison(page)
        states[page] = .used
        scribbled[page] = false
        if scenario[.poison] != 0 { fill(page, 0) }
        let stamp = newStamp()
        for place in Self.places.indices where !world.isOver {
            store(stamp, page, place)
            yield(oneIn: 4)
        }
        world.note("took page \(page)")
    }

    private func free() {
        let count = scheduler.pick(1..<8)
        guard let first = find(.used) else { return }
        for page in first..<min(first + count, pageCount) where states[page] == .used {
            states[page] = .free
            fillWithPoison(page)
            world.note("freed page \(page)")
        }
    }

    private func fillWithPoison(_ page: Int) {
        guard scenario[.poison] != 0 else { return }
        fill(page, UInt8(scenario[.poison]))
        poisoned[page] = true
    }

    /// Checks, like a kernel that fills its free pages, that nobody has written to a page before it is used.
    private func checkPoison(_ page: Int) {
        guard poisoned[page] else { return }
        poisoned[page] = false
        for place in Self.places where !scribbled[page] {
            let found = try? machine.memory.load(UInt8.self, at: address(page, place))
            guard found != UInt8(scenario[.poison]) else { continue }
            return world.fail(.content, "free page \(page) was filled with \(scenario[.poison]) and holds \(found ?? 0)")
        }
    }

    private func fill(_ page: Int, _ byte: UInt8) {
        do throws(AccessError) { try machine.memory.fill(byte, at: address(page, 0), byteCount: GuestPage.size) } catch {
            preconditionFailure("the guest's own page: \(error)")
        }
    }

    /// Clears what the driver allocates for hinting, like a kernel with `init_on_alloc`. Nobody else has the pages meanwhile.
    func clear(_ extent: Extent) {
        for page in extent.range where !world.isOver {
            fill(page, 0)
            yield(oneIn: 4)
        }
    }

    /// Memory is short: the driver takes back its newest block, whether the device has read it or not, and the guest uses it at once.
    private func shrink() {
        for _ in 0..<scheduler.pick(1..<4) {
            guard let extent = held.popLast() else { return }
            world.note("shrinker takes \(extent.range)")
            world.reached(driver.outstanding > 0 ? .heldBlockReusedUnread : .heldBlockReused)
            release(extent)
            for page in extent.range where states[page] == .free && percent(60) { take(page) }
        }
    }

    func release(_ extent: Extent) {
        for page in extent.range {
            precondition(states[page] == .held, "the guest's own account of what it holds")
            states[page] = .free
        }
    }

    /// The host takes a free page, as it does on a report of free pages: it reads as zero when it is touched again.
    private func hostTakesPage() {
        // This is one step, so nobody needs to wait for it as for the balloon's thread.
        guard scenario[.poison] == 0, !machine.isGivingBack, !machine.isDeviceLocked,
            let page = find(scheduler.chance(oneIn: 2) ? .held : .free)
        else { return }
        world.note("the host takes page \(page)")
        world.reached(.hostTookPage)
        world.migrations.last?.wire.hostTakes(PageIndex(page), of: machine.memory)
        do { try machine.memory.discard(PageRun(first: PageIndex(page), count: 1)) } catch { preconditionFailure("\(error)") }
    }

    func noteDiscard(_ run: PageRun, of memory: GuestRAM) {
        guard let machine = world.machines.first(where: { $0.memory === memory }) else { return }
        for page in run.indices { goneAt[page] = machine.number }
    }

    // MARK: At rest

    /// Checks that memory holds everything the guest wrote, that the driver holds nothing, and that every buffer came back.
    func checkAtRest() {
        guard isWorkDone else { return world.fail(.progress, "the vCPU stands still after \(opCount) steps") }
        if !held.isEmpty { world.fail(.held, "the guest still holds \(held.map(\.range))") }
        checkDriverAtRest()
        checkBalloonAtRest()
        if !lent.isEmpty { world.fail(.progress, "nobody has taken \(lent.map(\.range)), which the guest gave back") }
        for page in reservedPages..<pageCount where states[page] == .gone && !scribbled[page] { expectZeros(page) }
        for page in reservedPages..<pageCount where states[page] == .used || states[page] == .gone && !scribbled[page] {
            for place in Self.places.indices {
                let found = try? machine.memory.load(UInt64.self, at: address(page, Self.places[place]))
                let expected = stamps[page * Self.places.count + place]
                guard found == expected else {
                    return world.fail(.content, "page \(page) holds \(found ?? 0), the guest wrote \(expected)")
                }
            }
        }
    }
}
