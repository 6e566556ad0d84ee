import AerostatHost

/// What the guest has said on its console and nobody has taken yet.
///
/// A vCPU that says more than is taken is held back, but not for long: a reader that has stopped must not stop the guest, and a guest that
/// is to be paused must come out. After a moment in which nothing was taken, what does not fit is lost, until something is taken again.
package final class ConsoleOutput: Sendable {
    private static let capacityBytes = 256 << 10
    private let patience: Duration

    private struct State {
        var bytes: [UInt8] = []
        /// Nothing was taken for as long as a vCPU waits.
        var isStuck = false
        var lostBytes = 0
        /// What was taken has not all left yet.
        var isLeaving = false
        var isOver = false

        enum Fate { case kept, first, lost, full }

        mutating func append(_ byte: UInt8) -> Fate {
            guard bytes.count >= capacityBytes else {
                bytes.append(byte)
                return bytes.count == 1 ? .first : .kept
            }
            guard isStuck else { return .full }
            lostBytes += 1
            return .lost
        }
    }

    private let state = Monitor(State())

    /// - Parameter patience: how long a vCPU is held back by a reader that takes nothing.
    package init(patience: Duration = .milliseconds(250)) { self.patience = patience }

    /// Takes a byte from the guest, on a vCPU's thread.
    package func put(_ byte: UInt8) {
        switch state.withLock({ $0.append(byte) }) {
        case .kept, .lost: return
        case .first: break
        case .full:
            let deadline = MonotonicClock.now() + patience
            if state.wait(until: deadline, { $0.append(byte) == .full ? nil : true }) == nil {
                state.withLock { ($0.isStuck, $0.lostBytes) = (true, $0.lostBytes + 1) }
            }
        }
        // Whoever takes them may be asleep.
        state.update { _ in }
    }

    /// Sleeps until there is something, and takes it; what was taken before has left. `nil` at the end.
    package func next() -> [UInt8]? {
        state.update { $0.isLeaving = false }
        let isMore = state.wait { $0.bytes.isEmpty ? ($0.isOver ? false : nil) : true }
        guard isMore == true else { return nil }
        return state.update { state in
            defer { (state.bytes, state.isStuck, state.isLeaving) = ([], false, true) }
            return state.bytes
        }
    }

    /// Bytes that were lost since this was last asked.
    package func takeLost() -> Int {
        state.withLock { state in
            defer { state.lostBytes = 0 }
            return state.lostBytes
        }
    }

    /// No more comes. Waits a moment for what is there to leave.
    package func end() {
        state.update { $0.isOver = true }
        _ = state.wait(until: MonotonicClock.now() + .seconds(1)) { $0.bytes.isEmpty && !$0.isLeaving ? true : nil }
    }
}
