import AerostatGuestMemory
import AerostatMigration

/// Subscribes to the discards of one machine's memory. It counts them and lets other actors run between their steps, wherever real threads
/// could.
final class DiscardWatch {
    private unowned let world: World
    private let memory: GuestRAM
    private let listener: Listener
    /// Subscribed before any migration's ledger.
    private let subscription: DiscardSubscription

    init(_ world: World, _ memory: GuestRAM) {
        self.world = world
        self.memory = memory
        listener = Listener(world)
        subscription = memory.subscribe(listener)
    }

    /// Pages given back so far.
    var pages: Int { listener.pages }
    /// Pages that a wire has read since they were last given back.
    var read: Set<Int> {
        get { listener.read }
        set { listener.read = newValue }
    }

    /// Lets others run in the middle of the discards that `body` makes: after every subscriber heard `willDiscard`, and before any hears
    /// `didDiscard`.
    func withOthersBetween<Result>(_ body: () -> Result) -> Result {
        let last = memory.subscribe(Last(world, self))
        listener.letsOthersGo = true
        defer {
            listener.letsOthersGo = false
            last.cancel()
        }
        return body()
    }

    // @unchecked: a world lives on one thread.
    private final class Listener: DiscardSubscriber, @unchecked Sendable {
        private unowned let world: World
        var letsOthersGo = false
        var read: Set<Int> = []
        var pages = 0

        init(_ world: World) {
            self.world = world
        }

        func willDiscard(_ run: PageRun) {}
        func didDiscard(_ run: PageRun) {
            pages += run.count
            read.subtract(run.indices)
            if letsOthersGo { world.stall() }
        }
        func failedToDiscard(_ run: PageRun) { preconditionFailure("nothing keeps the simulator's memory from being given back") }
    }

    /// The subscriber that is called after the ledger.
    // @unchecked: as above.
    private final class Last: DiscardSubscriber, @unchecked Sendable {
        private unowned let world: World
        private unowned let watch: DiscardWatch
        /// The migration that heard `willDiscard`.
        private weak var heard: SimulatedMigration?

        init(_ world: World, _ watch: DiscardWatch) {
            self.world = world
            self.watch = watch
        }

        func willDiscard(_ run: PageRun) {
            world.note("pages \(run.indices) are being given back")
            let migration = world.migrations.last
            // A migration that begins meanwhile has not heard `willDiscard`, so it may read these pages.
            heard = migration.flatMap { $0.wire.frames > 0 ? $0 : nil }
            for page in run.indices { migration?.wire.hostTakes(PageIndex(page), of: watch.memory) }
            world.stall()
        }

        func didDiscard(_ run: PageRun) {
            world.perhapsYield()
            world.note("pages \(run.indices) are gone")
            world.guest.noteDiscard(run, of: watch.memory)
            world.reached(.gaveBack)
            guard let migration = world.migrations.last, !migration.isOver, migration.source.memory === watch.memory else { return }
            if migration !== heard {
                world.reached(.gaveBackAtStart)
                watch.read.formUnion(run.indices)
            }
            for page in run.indices {
                world.reached(migration.wire.lastWord[page] == .data ? .gaveBackAfterSent : .gaveBackUnsent)
            }
        }

        func failedToDiscard(_ run: PageRun) {}
    }
}
