package import AerostatGuestMemory
import AerostatHost
package import AerostatMigration

/// A hint sink that records its calls, and can block the hint thread in the middle of a hint.
package final class RecordingSink: HintSink {
    package enum Event: Hashable, Sendable {
        case started(CommandID)
        case hint(CommandID, address: UInt64, byteCount: UInt64)
        case stopped(CommandID)
    }

    private struct State {
        var events: [Event] = []
        var holds = false
        var isInside = false
    }

    private let state = Monitor(State())
    private let regions: RegionTable

    package init(_ memory: GuestRAM) { regions = memory.regions }

    package var events: [Event] { state.withLock { $0.events } }

    /// Sleeps until a matching call was recorded, for 10 seconds at most.
    package func wait(for event: Event) -> Bool {
        state.wait(until: MonotonicClock.now() + .seconds(10)) { $0.events.contains(event) ? true : nil } ?? false
    }

    /// From now on, hints block until `release`.
    package func hold() { state.update { $0.holds = true } }
    package func release() { state.update { $0.holds = false } }

    /// Sleeps until the hint thread is blocked in a hint.
    package func waitUntilHeld() -> Bool {
        state.wait(until: MonotonicClock.now() + .seconds(10)) { $0.isInside ? true : nil } ?? false
    }

    package var isHeld: Bool { state.withLock { $0.isInside } }

    private func record(_ event: Event) { state.update { $0.events.append(event) } }

    /// Not recorded as an event: it comes with each command, before anything else.
    package func hintsOpened(_ id: CommandID) {}
    package func hintsStarted(_ id: CommandID) { record(.started(id)) }
    package func hintsStopped(_ id: CommandID) { record(.stopped(id)) }

    package func hint(_ id: CommandID, address: GuestAddress, byteCount: UInt64) -> HintOutcome {
        state.update { $0.isInside = true }
        _ = state.wait { $0.holds ? nil : true }
        state.update {
            $0.isInside = false
            $0.events.append(.hint(id, address: address.rawValue, byteCount: byteCount))
        }
        let pages = regions.wholePages(at: address, byteCount: byteCount).runs.reduce(0) { $0 + $1.count }
        return pages > 0 ? .taken(pages: pages, skipped: pages) : .invalid
    }
}
