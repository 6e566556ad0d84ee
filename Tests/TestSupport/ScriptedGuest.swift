package import AerostatGuestMemory
import AerostatHost
package import AerostatMigration

/// A guest with one thread that writes to its RAM through the write door, frees pages and takes them back, and gives some pages back to the
/// host.
package final class ScriptedGuest: Guest {
    /// Counts what happens to the guest. Tests read it.
    package enum Call: Hashable, Sendable { case pause, resume, save, load }

    package let memory: GuestRAM
    package let tracker: any DirtyTracker
    package let hinting: (any FreePageHinting)?
    package let requirements: [DeviceSection]
    private let free: FreePages
    private let state: Monitor<State>
    private let thread: HostThread?

    private struct State {
        var isPaused: Bool
        var isOver = false
        var calls: [Call] = []
        var writes = 0
        var refusesToResume = false
        var givenBack = 0
        /// The pages that were given back and not written since.
        var gone: Set<Int> = []
        var whileSaving: (@Sendable () -> Void)?
        var sections: [DeviceSection] = [DeviceSection(name: "scripted", version: 1, bytes: [1, 2, 3])]
    }

    /// - Parameters:
    ///   - writing: the pages written each millisecond; 0 starts no thread.
    ///   - working: the pages that are written.
    ///   - givingBack: other pages. Runs of them are given back to the host, and partly written again.
    ///   - unit: the number of pages that are given back together.
    ///   - free: the pages that nobody uses; shared with the hinting object.
    package init(
        _ memory: GuestRAM,
        tracker: any DirtyTracker,
        hinting: (any FreePageHinting)? = nil,
        requirements: [DeviceSection] = [DeviceSection(name: "scripted", version: 7, bytes: [9])],
        free: FreePages = FreePages([]),
        writing: Int = 0,
        working: Range<Int> = 0..<0,
        givingBack: Range<Int> = 0..<0,
        unit: Int = 1,
        seed: UInt64 = 1,
        paused: Bool = false
    ) throws {
        self.memory = memory
        self.tracker = tracker
        self.hinting = hinting
        self.requirements = requirements
        self.free = free
        let state = Monitor(State(isPaused: paused))
        self.state = state
        guard writing > 0 else {
            thread = nil
            return
        }
        thread = try HostThread(name: "scribbler") {
            let pause = try? Doorbell()
            var random = SeededGenerator(seed: seed)
            while state.wait({ $0.isOver ? false : $0.isPaused ? nil : true })! {
                state.withLock { state in
                    guard !state.isPaused else { return }
                    for _ in 0..<writing {
                        state.writes += 1
                        let page = Int.random(in: working, using: &random)
                        if Int.random(in: 0..<16, using: &random) == 0 {
                            free.insert(page)
                        } else {
                            // Take the page back first: from here on it is in use.
                            free.remove(page)
                            Self.scribble(memory, page, with: state.writes % 13 == 0 ? 0 : UInt64(state.writes))
                        }
                    }
                    if !givingBack.isEmpty { Self.giveBack(givingBack, unit, memory, &state, &random) }
                }
                pause?.wait(timeout: .milliseconds(1))
            }
        }
    }

    private static func giveBack(
        _ pages: Range<Int>,
        _ unit: Int,
        _ memory: GuestRAM,
        _ state: inout State,
        _ random: inout SeededGenerator
    ) {
        let units = pages.count / unit
        let first = Int.random(in: 0..<units, using: &random)
        let count = Int.random(in: 1...min(64, units - first), using: &random)
        let run = PageRun(pages.lowerBound + first * unit, count * unit)
        do throws(SystemError) { try memory.discard(run) } catch { preconditionFailure("\(error)") }
        state.givenBack += run.count
        state.gone.formUnion(run.indices)
        for page in run.indices where Int.random(in: 0..<8, using: &random) == 0 {
            state.writes += 1
            scribble(memory, page, with: UInt64(state.writes))
            state.gone.remove(page)
        }
    }

    /// Fills a page with content that depends on the page and the stamp. Stamp 0 makes it zero.
    package static func scribble(_ memory: GuestRAM, _ page: Int, with stamp: UInt64) {
        var bytes = [UInt8](repeating: 0, count: GuestPage.size)
        if stamp != 0 {
            var random = SeededGenerator(seed: stamp &* 1_000_003 &+ UInt64(page))
            for offset in stride(from: 0, to: bytes.count, by: 64) {
                let value = random.next()
                for byte in 0..<8 { bytes[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)) }
            }
        }
        do { try memory.write(bytes, at: memory.regions.address(of: PageIndex(page))) } catch { preconditionFailure("\(error)") }
    }

    package func pause() throws(GuestError) {
        state.update {
            $0.isPaused = true
            $0.calls.append(.pause)
        }
    }

    package func resume() throws(GuestError) {
        let refuses = state.update { state in
            state.calls.append(.resume)
            if !state.refusesToResume { state.isPaused = false }
            return state.refusesToResume
        }
        if refuses { throw GuestError("it does not wake up") }
    }

    package func saveDeviceState() throws(GuestError) -> [DeviceSection] {
        let (sections, whileSaving) = state.withLock { state in
            precondition(state.isPaused, "device state of a running guest")
            state.calls.append(.save)
            return (state.sections, state.whileSaving)
        }
        whileSaving?()
        return sections
    }

    package func loadDeviceState(_ sections: [DeviceSection]) throws(GuestError) {
        state.withLock {
            $0.calls.append(.load)
            $0.sections = sections
        }
    }

    package func memoryUse() -> MemoryUse? { nil }

    /// Does something while the device state is being saved, which should not happen.
    package func misbehaveWhileSaving(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.whileSaving = body } }
    package func refuseToResume() { state.withLock { $0.refusesToResume = true } }
    package var isRunning: Bool { state.withLock { !$0.isPaused } }
    package var calls: [Call] { state.withLock { $0.calls } }
    package var sections: [DeviceSection] { state.withLock { $0.sections } }
    package var writes: Int { state.withLock { $0.writes } }
    /// Pages given back so far, and those that were not written since.
    package var givenBack: Int { state.withLock { $0.givenBack } }
    package var gone: Set<Int> { state.withLock { $0.gone } }
    package func isFree(_ page: Int) -> Bool { free.contains(page) }

    /// Ends the thread.
    package func end() {
        state.update { $0.isOver = true }
        thread?.join()
    }
}

/// The pages that the scripted guest does not use.
package final class FreePages: Sendable {
    private let pages: Locked<Set<Int>>

    package init(_ pages: some Sequence<Int>) { self.pages = Locked(Set(pages)) }

    package func contains(_ page: Int) -> Bool { pages.withLock { $0.contains(page) } }
    package func insert(_ page: Int) { pages.withLock { _ = $0.insert(page) } }
    package func remove(_ page: Int) { pages.withLock { _ = $0.remove(page) } }
    /// Does something to a page if it is free. Nobody can take the page at the same time.
    package func whileFree(_ page: Int, _ body: () -> Void) { pages.withLock { if $0.contains(page) { body() } } }
    package var sorted: [Int] { pages.withLock { $0.sorted() } }
}
