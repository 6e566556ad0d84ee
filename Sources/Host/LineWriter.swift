import CLinux
import Glibc

/// Writes lines to a descriptor that may block, such as a log that nobody reads, for threads that must not: `put` never waits.
///
///     any thread --- put ---> a bounded buffer ---> a thread of its own ---> write(2), which may block
///
/// Lines that find the buffer full are lost and counted, and one line says how many as soon as there is room.
public final class LineWriter: Sendable {
    /// How much waits to be written; as much again may be under way.
    public struct Limits: Hashable, Sendable {
        public var lines: Int
        public var bytes: Int

        public init(lines: Int = 1024, bytes: Int = 256 << 10) { (self.lines, self.bytes) = (lines, bytes) }
    }

    private let descriptor: Int32
    private let limits: Limits
    private let notice: @Sendable (Int) -> String
    private let state = Monitor(State())

    /// What is written next.
    private struct Batch {
        var lines: [[UInt8]] = []
        var byteCount = 0
        /// Lost before these lines, by failed writes.
        var lostBefore = 0
        /// Lost behind them, because there was no room.
        var lostAfter = 0

        var isEmpty: Bool { lines.isEmpty && lostAfter == 0 }
    }

    private struct State {
        var waiting = Batch()
        /// What was taken has not all left yet.
        var isWriting = false
        var hasThread = false
    }

    /// - Parameters:
    ///   - descriptor: where the lines go; it stays open as long as this object.
    ///   - notice: the line that says how many are lost, without its line feed.
    public init(to descriptor: Int32, limits: Limits = Limits(), notice: @escaping @Sendable (Int) -> String) {
        self.descriptor = descriptor
        self.limits = limits
        self.notice = notice
    }

    /// Takes a line, which ends with its line feed. Never waits.
    public func put(_ line: String) {
        let bytes = Array(line.utf8)
        state.update { state in
            let hasRoom = state.waiting.lines.count < limits.lines && state.waiting.byteCount + bytes.count <= limits.bytes
            // A line that would fit behind a lost one waits for the word of the loss, so that lines stay in their order.
            if hasRoom, state.waiting.lostAfter == 0 {
                state.waiting.lines.append(bytes)
                state.waiting.byteCount += bytes.count
            } else {
                state.waiting.lostAfter += 1
            }
            // Where no thread can be started, the lines wait for the next one, or for `flush`.
            if !state.hasThread { state.hasThread = (try? HostThread(name: "log") { [self] in run() }) != nil }
        }
    }

    /// Waits until all lines have left, but not for long.
    /// - Returns: whether they have.
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
                // Nobody can tell how much of it a reader has seen that has gone.
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

    /// However long that takes.
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
