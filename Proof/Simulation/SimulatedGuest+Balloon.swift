import AerostatGuestMemory
import AerostatMigration

// The guest gives memory back to the host, as with a balloon that is inflated and deflated. Some scenarios use the device's queues
// (`SimulatedGuest+Queues.swift`). In others guest and host share a list, and the host may take pages at any moment.
extension SimulatedGuest {
    // MARK: The vCPU

    /// Gives up some pages, writes to some that it has just given up, or takes some back.
    func giveBack() {
        if percent(scenario[.impatientPercent]), let page = find(.lent) ?? find(.reported) { return scribble(page) }
        if scheduler.chance(oneIn: 2), let page = find(.gone) { return takeBack(page) }
        guard let first = find(scheduler.chance(oneIn: 3) ? .free : .used) else { return }
        let state = states[first]
        var count = 1
        while count < 4, first + count < states.count, states[first + count] == state { count += 1 }
        let extent = Extent(first: first, count: count)
        for page in extent.range {
            states[page] = .lent
            scribbled[page] = false
        }
        lent.append(extent)
        world.note("gives pages \(extent.range) back")
        if scenario[.queues] == 1 { balloon.waiting[.inflate, default: []].append(extent) }
    }

    /// Writes to a page that was given back but may not be gone yet. The guest must not rely on the page's content, and does not.
    private func scribble(_ page: Int) {
        world.note("writes page \(page), which it has given back")
        world.reached(states[page] == .lent ? .wroteWhileGivenBack : .usedWhileReported)
        scribbled[page] = true
        storeInVain(newStamp(), page, scheduler.pick(0..<3))
    }

    /// Takes a page back. A page that was gone is zero when it comes back, and the guest relies on that.
    private func takeBack(_ page: Int) {
        guard scenario[.queues] == 1 else { return use(page) }
        let tells = percent(scenario[.tellsPercent])
        balloon.waiting[.deflate, default: []].append(Extent(first: page, count: 1))
        if tells { states[page] = .returning } else { use(page) }
    }

    /// The guest may use a page of the balloon again.
    func use(_ page: Int) {
        if scribbled[page] || scheduler.chance(oneIn: 2) { return take(page) }
        world.note("takes page \(page) back, and leaves it as it is")
        world.reached(.usedAgain)
        states[page] = .used
        expectZeros(page)
    }

    /// The pages that are gone from a machine and that the guest has not touched since.
    func unusedSinceGivenBack(at machine: Machine) -> [Int] {
        states.indices.filter { states[$0] == .gone && !scribbled[$0] && goneAt[$0] == machine.number }
    }

    // MARK: The host

    /// The device thread that gives memory back, on the machine where the guest is.
    func runBalloon() {
        while !world.isOver, scenario[.queues] == 0 {
            scheduler.sleep { self.world.isOver || !self.lent.isEmpty && !self.machine.isPaused }
            guard !world.isOver, let extent = lent.first else { continue }
            let machine = machine
            // No other actor runs between reading `machine` and this line.
            machine.isGivingBack = true
            discard(extent, at: machine)
            lent.removeFirst()
            for page in extent.range { states[page] = .gone }
            machine.isGivingBack = false
            scheduler.yield()
        }
    }

    private func discard(_ extent: Extent, at machine: Machine) {
        machine.discards.withOthersBetween {
            do { try machine.memory.discard(PageRun(first: PageIndex(extent.first), count: extent.count)) } catch {
                preconditionFailure("\(error)")
            }
        }
    }
}
