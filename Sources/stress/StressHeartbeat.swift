import AerostatHost
import Synchronization

/// Measures how long this process got no processor time. The guests of its rounds then got none either, so a find at such a moment may be
/// a process that was late and not wrong.
final class StressHeartbeat: Sendable {
    private static let beat: Duration = .milliseconds(50)
    /// A delay that is normal on a busy machine.
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

    /// A note for a find of this round; `nil` if there was no long delay.
    var complaint: String? {
        let longest = longest.withLock(\.self)
        guard longest > Self.usual else { return nil }
        return "in this round the hunt itself was once without a processor for \(longest.wholeMilliseconds) ms: if the find is that "
            + "something came too late, replay it where less else runs"
    }
}
