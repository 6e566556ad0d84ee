package import AerostatGuestMemory
import AerostatHost
package import AerostatMigration

/// Hints the free pages of a scripted guest, one by one, from its own thread.
///
/// The pages are listed when the command arrives and reported afterwards. In between the guest may take one back and write it, as a real
/// driver's shrinker does. The hint is still sent.
package final class ScriptedHinting: FreePageHinting {
    /// The guest's behaviour.
    package enum Script: Hashable, Sendable {
        case honest
        /// Like a kernel that clears memory when it allocates it: each page is zero when it is reported.
        case clearing
        /// Never answers.
        case silent
        /// Is slow, and continues under the old id after stop and done.
        case late
    }

    private let free: FreePages
    private let memory: GuestRAM
    private var regions: RegionTable { memory.regions }
    private let script: Script
    private let state = Monitor(State())
    private let thread = Locked<HostThread?>(nil)
    private let pause: Doorbell

    private struct State {
        var command: (id: CommandID, sink: any HintSink)?
        var lastID = CommandID.minimum
        var statistics = HintStatistics()
        var doneCount = 0
        var isOpen = false
        var isOver = false
        /// A hint is being applied.
        var isApplying = false
        var serial = 0
    }

    package init(_ free: FreePages, _ memory: GuestRAM, _ script: Script = .honest) throws {
        self.free = free
        self.memory = memory
        self.script = script
        pause = try Doorbell()
        let thread = try HostThread(name: "hints") { [self] in run() }
        self.thread.withLock { $0 = thread }
    }

    package var isAvailable: Bool { true }
    package var fillsFreedPages: Bool { false }
    package var statistics: HintStatistics { state.withLock { $0.statistics } }
    package func resetStatistics() { state.withLock { $0.statistics = HintStatistics() } }
    package var doneCount: Int { state.withLock { $0.doneCount } }
    package var isOpen: Bool { state.withLock { $0.isOpen } }

    package func begin(reportingTo sink: any HintSink) -> CommandID {
        let id = state.withLock { state in
            precondition(!state.isOpen, "begin while a command is open")
            state.lastID = state.lastID.successor
            return state.lastID
        }
        sink.hintsOpened(id)
        state.update { state in
            state.statistics.commands += 1
            state.command = (id, sink)
            state.isOpen = true
            state.serial += 1
        }
        return id
    }

    package func stop() {
        _ = state.wait { state -> Bool? in
            guard !state.isApplying else { return nil }
            state.isOpen = false
            if script != .late { state.command = nil }
            return true
        }
    }

    package func done(heard: (@Sendable () -> Void)?) {
        stop()
        state.update { $0.doneCount += 1 }
        heard?()
    }

    package func end() {
        state.update { $0.isOver = true }
        thread.withLock { $0 }?.join()
    }

    private func run() {
        var answered = 0
        while true {
            let next = state.wait { state -> (serial: Int, id: CommandID, sink: any HintSink)?? in
                if state.isOver { return .some(nil) }
                guard script != .silent, state.serial > answered, let command = state.command else { return nil }
                return (state.serial, command.id, command.sink)
            }
            guard let next, let command = next else { return }
            answered = command.serial
            let pages = free.sorted
            command.sink.hintsStarted(command.id)
            for (number, page) in pages.enumerated() {
                if script == .late, number % 8 == 0 { pause.wait(timeout: .microseconds(500)) }
                if !report(page, command.serial, command.id, command.sink) { break }
            }
            let isCurrent = state.withLock { $0.serial == command.serial && $0.isOpen }
            if isCurrent { command.sink.hintsStopped(command.id) }
        }
    }

    /// - Returns: whether to continue.
    private func report(_ page: Int, _ serial: Int, _ id: CommandID, _ sink: any HintSink) -> Bool {
        let goesOn = state.withLock { state in
            guard !state.isOver, state.serial == serial, state.isOpen || script == .late else { return false }
            state.isApplying = true
            return true
        }
        guard goesOn else { return false }
        // If the guest has taken the page back in the meantime, it holds the guest's data.
        if script == .clearing { free.whileFree(page) { ScriptedGuest.scribble(memory, page, with: 0) } }
        let outcome = sink.hint(id, address: regions.address(of: PageIndex(page)), byteCount: UInt64(GuestPage.size))
        state.update { state in
            state.isApplying = false
            if outcome == .stale { state.statistics.staleBlocks += 1 }
            if outcome == .invalid { state.statistics.invalidBlocks += 1 }
        }
        return true
    }
}
