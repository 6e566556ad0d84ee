import Synchronization

/// Hears of guest memory whose content becomes zero without a write (rule "discard is heard").
///
/// Twice for each run: before, and after. Between the two calls the pages hold their old content or zeros, or what the guest has just written:
/// nobody keeps it from that. Whoever keeps an account of pages *forgets* what it planned before, and *decides* what must be done after.
/// So no write can fall between: one that comes after the first call is in the tracker's log, and one before it is undone.
///
/// Called on the thread that discards, under none of the memory's locks, and perhaps by several threads. They may take a short lock of their
/// own, and must not plug, unplug or discard.
public protocol DiscardSubscriber: AnyObject, Sendable {
    /// The pages are about to be given back.
    func willDiscard(_ run: PageRun)
    /// They were: each page was zero at some moment since `willDiscard`. The discard has not been acknowledged to anybody.
    func didDiscard(_ run: PageRun)
    /// They were not: each page is as it was, or zero.
    func failedToDiscard(_ run: PageRun)
}

/// As long as it lives, and is not cancelled, its subscriber hears of discards. A call that is under way may still come afterwards.
public final class DiscardSubscription: Sendable {
    private let subscribers: DiscardSubscribers
    private let number: Int

    fileprivate init(_ subscribers: DiscardSubscribers, _ number: Int) {
        self.subscribers = subscribers
        self.number = number
    }

    deinit { cancel() }

    public func cancel() { subscribers.remove(number) }
}

/// Who hears of one memory's discards.
final class DiscardSubscribers: Sendable {
    private struct State {
        var next = 0
        var all: [(number: Int, subscriber: any DiscardSubscriber)] = []
    }

    private let state = Mutex(State())

    var current: [any DiscardSubscriber] { state.withLock { $0.all.map(\.subscriber) } }

    func add(_ subscriber: any DiscardSubscriber) -> DiscardSubscription {
        let number = state.withLock { state in
            state.next += 1
            state.all.append((state.next, subscriber))
            return state.next
        }
        return DiscardSubscription(self, number)
    }

    func remove(_ number: Int) {
        // What is let go ends outside of the lock.
        let removed = state.withLock { state in
            let place = state.all.firstIndex { $0.number == number }
            return place.map { state.all.remove(at: $0).subscriber }
        }
        _ = removed
    }
}
