import AerostatGuestMemory
import AerostatMigration

// The guest gives memory back to the host, as with a balloon that is inflated and deflated. In some scenarios by the device's queues
// (`SimulatedGuest+Queues.swift`); in others guest and host speak by a list, and the host may take pages at any moment.
extension SimulatedGuest {
    // MARK: The vCPU

    /// Gives some pages up, writes to some that it has just given up, or takes some back.
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

    /// A guest that does not wait until its page is gone: it must not count on anything there, and nor does it.
    private func scribble(_ page: Int) {
        world.note("writes page \(page), which it has given back")
        world.reached(states[page] == .lent ? .wroteWhileGivenBack : .usedWhileReported)
        scribbled[page] = true
        storeInVain(newStamp(), page, scheduler.pick(0..<3))
    }

    /// What is gone and comes back is zero, and the guest may count on that.
    private func takeBack(_ page: Int) {
        guard scenario[.queues] == 1 else { return use(page) }
        let tells = percent(scenario[.tellsPercent])
        balloon.waiting[.deflate, default: []].append(Extent(first: page, count: 1))
        if tells { states[page] = .returning } else { use(page) }
    }

    /// A page of the balloon is the guest's again.
    func use(_ page: Int) {
        if scribbled[page] || scheduler.chance(oneIn: 2) { return take(page) }
        world.note("takes page \(page) back, and leaves it as it is")
        world.reached(.usedAgain)
        states[page] = .used
        expectZeros(page)
    }

    /// What is gone from a machine, and was not touched by the guest since.
    func unusedSinceGivenBack(at machine: Machine) -> [Int] {
        states.indices.filter { states[$0] == .gone && !scribbled[$0] && goneAt[$0] == machine.number }
    }

    // MARK: The host

    /// The device's thread that gives memory back, at whatever machine the guest is.
    func runBalloon() {
        while !world.isOver, scenario[.queues] == 0 {
            scheduler.sleep { self.world.isOver || !self.lent.isEmpty && !self.machine.isPaused }
            guard !world.isOver, let extent = lent.first else { continue }
            let machine = machine
            // No step of anybody's lies between the look at the machine and this.
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
