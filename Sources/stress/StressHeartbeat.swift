import AerostatHost
import Synchronization

/// Measures how long this process is left without a processor, which the guests of its rounds then are too: a find at such a moment may be
/// a process that was too late, and not one that was wrong.
final class StressHeartbeat: Sendable {
    private static let beat: Duration = .milliseconds(50)
    /// What a busy machine does to everybody.
    private static let usual: Duration = .seconds(1)

    private let longest = Mutex(Duration.zero)
    private let isOver = Atomic(false)

    init() throws {
        _ = try HostThread(name: "heartbeat") { [self] in
            while !isOver.load(ordering: .relaxed) {
                let start = MonotonicClock.now()
                HostThread.sleep(for: Self.beat)
                let late = start.duration(to: MonotonicClock.now()) - Self.beat
                longest.withLock { $0 = max($0, late) }
            }
        }
    }

    func end() { isOver.store(true, ordering: .relaxed) }

    func beginRound() { longest.withLock { $0 = .zero } }

    /// Words for a find of this round; `nil` where the machine kept up.
    var complaint: String? {
        let longest = longest.withLock(\.self)
        guard longest > Self.usual else { return nil }
        return "in this round the hunt itself was once without a processor for \(longest.wholeMilliseconds) ms: if the find is that "
            + "something came too late, replay it where less else runs"
    }
}
