import AerostatHost

/// Output of the guest's console that the reader has not taken yet.
///
/// A vCPU that writes faster than the reader takes has to wait, but not for long: a reader that has stopped must not stop the guest, and a
/// vCPU must leave the guest when it is to be paused. If nothing is taken for a moment (`patience`), output that does not fit is lost until
/// the reader takes something again.
package final class ConsoleOutput: Sendable {
    private static let capacityBytes = 256 << 10
    private let patience: Duration

    private struct State {
        var bytes: [UInt8] = []
        /// The reader took nothing for as long as a vCPU waits.
        var isStuck = false
        var lostBytes = 0
        /// Some of what was taken is not written yet.
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

    /// - Parameter patience: how long a vCPU waits for a reader that takes nothing.
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
        // Wakes the reader, which may be asleep.
        state.update { _ in }
    }

    /// Sleeps until there is output, and takes it. The call also says that all output taken before is written. Returns `nil` at the end.
    package func next() -> [UInt8]? {
        state.update { $0.isLeaving = false }
        let isMore = state.wait { $0.bytes.isEmpty ? ($0.isOver ? false : nil) : true }
        guard isMore == true else { return nil }
        return state.update { state in
            defer { (state.bytes, state.isStuck, state.isLeaving) = ([], false, true) }
            return state.bytes
        }
    }

    /// How many bytes were lost since the last call.
    package func takeLost() -> Int {
        state.withLock { state in
            defer { state.lostBytes = 0 }
            return state.lostBytes
        }
    }

    /// No more output comes. Waits a moment until all of it is written.
    package func end() {
        state.update { $0.isOver = true }
        _ = state.wait(until: MonotonicClock.now() + .seconds(1)) { $0.bytes.isEmpty && !$0.isLeaving ? true : nil }
    }
}
