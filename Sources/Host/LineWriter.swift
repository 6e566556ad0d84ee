import CLinux
import Glibc

/// Writes lines to a descriptor that may block, such as a log that nobody reads, for threads that must not block: `put` never waits.
///
///     any thread --- put ---> a bounded buffer ---> a thread of its own ---> write(2), which may block
///
/// Lines that do not fit into the buffer are lost and counted. One line says how many as soon as there is room.
public final class LineWriter: Sendable {
    /// How much may wait to be written. The same amount may be in the middle of being written.
    public struct Limits: Hashable, Sendable {
        public var lines: Int
        public var bytes: Int

        public init(lines: Int = 1024, bytes: Int = 256 << 10) { (self.lines, self.bytes) = (lines, bytes) }
    }

    private let descriptor: Int32
    private let limits: Limits
    private let notice: @Sendable (Int) -> String
    private let state = Monitor(State())

    /// The lines that are written next.
    private struct Batch {
        var lines: [[UInt8]] = []
        var byteCount = 0
        /// How many lines before these were lost by failed writes.
        var lostBefore = 0
        /// How many lines after these were lost because there was no room.
        var lostAfter = 0

        var isEmpty: Bool { lines.isEmpty && lostAfter == 0 }
    }

    private struct State {
        var waiting = Batch()
        /// The batch that was taken has not been written completely yet.
        var isWriting = false
        var hasThread = false
    }

    /// - Parameters:
    ///   - descriptor: where the lines go. It must stay open while this object exists.
    ///   - notice: returns the line that says how many were lost, without a line feed.
    public init(to descriptor: Int32, limits: Limits = Limits(), notice: @escaping @Sendable (Int) -> String) {
        self.descriptor = descriptor
        self.limits = limits
        self.notice = notice
    }

    /// Takes a line, including its line feed. Never waits.
    public func put(_ line: String) {
        let bytes = Array(line.utf8)
        state.update { state in
            let hasRoom = state.waiting.lines.count < limits.lines && state.waiting.byteCount + bytes.count <= limits.bytes
            // After a lost line, later lines are dropped too until the thread takes this batch, so that lines stay in order.
            if hasRoom, state.waiting.lostAfter == 0 {
                state.waiting.lines.append(bytes)
                state.waiting.byteCount += bytes.count
            } else {
                state.waiting.lostAfter += 1
            }
            // If no thread can be started, lines wait for the next attempt, or for `flush`.
            if !state.hasThread { state.hasThread = (try? HostThread(name: "log") { [self] in run() }) != nil }
        }
    }

    /// Waits until all lines are written, but not longer than `limit`.
    /// - Returns: whether they were all written.
    @discardableResult
    public func flush(within limit: Duration) -> Bool {
        let deadline = MonotonicClock.now() + limit
        if let batch = state.withLock({ $0.hasThread || $0.waiting.isEmpty ? nil : Self.take(&$0) }) {
            let text = String(decoding: text(of: batch).joined(), as: UTF8.self)
            return (try? StandardStream(descriptor, name: "the log").write(text, patience: limit)) != nil
        }
        return state.wait(until: deadline) { $0.waiting.isEmpty && !$0.isWriting ? true : nil } ?? false
    }

    /// Lines that the thread has not taken yet.
    package var waitingLines: Int { state.withLock { $0.waiting.lines.count } }

    // MARK: The thread

    private func run() {
        while let batch = state.wait({ $0.waiting.isEmpty ? nil : Self.take(&$0) }) {
            let isWritten = writeAll(text(of: batch))
            state.update { state in
                state.isWriting = false
                // Nobody can tell how much of it a reader that has gone had seen.
                if !isWritten { state.waiting.lostBefore += batch.lostBefore + batch.lines.count + batch.lostAfter }
            }
        }
    }

    private static func take(_ state: inout State) -> Batch {
        defer { (state.waiting, state.isWriting) = (Batch(), state.hasThread) }
        return state.waiting
    }

    private func text(of batch: Batch) -> [[UInt8]] {
        func word(_ count: Int) -> [[UInt8]] { count == 0 ? [] : [Array((notice(count) + "\n").utf8)] }
        return word(batch.lostBefore) + batch.lines + word(batch.lostAfter)
    }

    /// Writes all lines, however long that takes.
    private func writeAll(_ lines: [[UInt8]]) -> Bool {
        for line in lines {
            var rest = line[...]
            while !rest.isEmpty {
                let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if count < 0, errno == EAGAIN {
                    var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = unsafe poll(&entry, 1, -1)
                } else if count == 0 || errno != EINTR {
                    return false
                }
            }
        }
        return true
    }
}
