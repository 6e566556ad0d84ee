import AerostatGuestMemory

/// Hears of the discards of one machine's memory: counts them, and lets others go between their steps, wherever real threads could.
final class DiscardWatch {
    private unowned let world: World
    private let memory: GuestRAM
    private let listener: Listener
    /// Before any migration's ledger.
    private let subscription: DiscardSubscription

    init(_ world: World, _ memory: GuestRAM) {
        self.world = world
        self.memory = memory
        listener = Listener(world)
        subscription = memory.subscribe(listener)
    }

    /// Pages given back so far.
    var pages: Int { listener.pages }
    /// Pages that a wire has read since they were given back last.
    var read: Set<Int> {
        get { listener.read }
        set { listener.read = newValue }
    }

    /// In the discards that `body` makes, others go between: after everybody was told that it comes, and before anybody is told that it
    /// came.
    func withOthersBetween(_ body: () -> Void) {
        let last = memory.subscribe(listener.last)
        listener.letsOthersGo = true
        body()
        listener.letsOthersGo = false
        last.cancel()
    }

    // @unchecked: a world lives on one thread.
    private final class Listener: DiscardSubscriber, @unchecked Sendable {
        private unowned let world: World
        let last: Last
        var letsOthersGo = false
        var read: Set<Int> = []
        var pages = 0

        init(_ world: World) {
            self.world = world
            last = Last(world)
        }

        func willDiscard(_ run: PageRun) {}
        func didDiscard(_ run: PageRun) {
            pages += run.count
            read.subtract(run.indices)
            if letsOthersGo { world.stall() }
        }
        func failedToDiscard(_ run: PageRun) { preconditionFailure("nothing keeps the simulator's memory from being given back") }
    }

    /// Told behind the ledger.
    // @unchecked: as above.
    private final class Last: DiscardSubscriber, @unchecked Sendable {
        private unowned let world: World

        init(_ world: World) { self.world = world }

        func willDiscard(_ run: PageRun) { world.stall() }
        func didDiscard(_ run: PageRun) { world.perhapsYield() }
        func failedToDiscard(_ run: PageRun) {}
    }
}
