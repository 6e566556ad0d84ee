import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatModelGuest
import Testing

/// One test at a time: each has a guest with several threads, and some of them measure time.
@Suite(.serialized) enum ModelGuestTests {}

func configuration(_ mebibytes: UInt64, _ change: (inout ModelGuestConfiguration) -> Void = { _ in }) throws -> ModelGuestConfiguration {
    var configuration = ModelGuestConfiguration(memory: try RegionTable(contiguousBytes: mebibytes << 20))
    change(&configuration)
    return configuration
}

/// Waits for something that another thread causes. Gives up after ten seconds.
func eventually(_ what: Comment, _ condition: () throws -> Bool) async throws {
    for _ in 0..<5000 {
        if try condition() { return }
        try await Task.sleep(for: .milliseconds(2))
    }
    Issue.record(what)
}

/// A digest of all pages that are present.
func digest(_ memory: GuestRAM) throws -> UInt64 {
    let present = try PageSet(pageCount: memory.pageCount)
    try memory.insertPresentPages(into: present)
    var sum: UInt64 = 0
    present.forEachRun { run in
        for page in run.indices { sum = (sum &* 31) &+ memory.digest(PageIndex(page)) }
    }
    return sum
}

func presentPages(_ memory: GuestRAM) throws -> Int {
    let present = try PageSet(pageCount: memory.pageCount)
    try memory.insertPresentPages(into: present)
    return present.count()
}

/// A minimal engine for hints: the pages that wait to be copied, and the hints that removed some of them.
final class Ledger: HintSink {
    let pending: PageSet
    private let memory: GuestRAM
    private let state = Monitor(State())

    struct State {
        var open: CommandID?
        var isStopped = false
        var blocks: [GuestAddress] = []
        var skipped = 0
        var beforeHint: @Sendable () -> Void = {}
    }

    init(_ memory: GuestRAM) throws {
        self.memory = memory
        pending = try PageSet(pageCount: memory.pageCount)
    }

    /// Called by the device's thread before each hint is applied.
    var beforeHint: @Sendable () -> Void {
        get { state.withLock { $0.beforeHint } }
        set { state.withLock { $0.beforeHint = newValue } }
    }

    var blocks: [GuestAddress] { state.withLock { $0.blocks } }
    var skipped: Int { state.withLock { $0.skipped } }

    func hintsOpened(_ id: CommandID) {
        state.update { state in
            state.isStopped = false
            state.open = id
        }
    }

    func hintsStarted(_ id: CommandID) {}

    func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome {
        beforeHint()
        return state.withLock { state in
            let covered = memory.regions.wholePages(at: address, byteCount: byteCount)
            guard !covered.runs.isEmpty else { return .invalid }
            state.blocks.append(address)
            var (pages, skipped) = (0, 0)
            for run in covered.runs {
                skipped += pending.remove(run)
                pages += run.count
            }
            state.skipped += skipped
            return .taken(pages: pages, skipped: skipped)
        }
    }

    func hintsStopped(_ id: CommandID) { state.update { $0.isStopped = true } }

    func waitUntilStopped() -> Bool { state.wait(until: MonotonicClock.now() + .seconds(10)) { $0.isStopped ? true : nil } ?? false }

    func reopen() { state.withLock { $0.isStopped = false } }

    /// Copies the pages that are pending now. Clears them first, as an engine must.
    func copy(to destination: GuestRAM) {
        var position = PageIndex(0)
        while position.rawValue < memory.pageCount {
            let (found, next) = pending.nextRun(from: position, maximumPages: 64)
            position = next
            guard let run = found else { continue }
            pending.remove(run)
            unsafe destination.withWritablePages(run) { target in
                unsafe target.copyMemory(from: UnsafeRawBufferPointer(start: memory.hostAddress(of: run), count: run.byteCount))
            }
        }
    }
}

/// Sleeps a millisecond, on a thread that may block. Returns false.
func napped() -> Bool { Monitor(()).wait(until: MonotonicClock.now() + .milliseconds(1)) { _ -> Bool? in nil } ?? false }
