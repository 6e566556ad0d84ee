import Synchronization

/// Is told when guest memory becomes zero without a write (rule "discard is heard").
///
/// Each discard makes two calls, one before the content changes and one after. In between, a page holds its old content, zeros, or what the
/// guest has just written, because nothing stops the guest. An account of pages *forgets* its plans in the first call and *decides* what to
/// do in the second. So no write is lost between them: a write after the first call is in the tracker's log, and the discard destroys any
/// write before it. A subscriber that is added in the middle of a discard gets the second call only.
///
/// The calls come on the thread that discards, and may come on several threads at once. None of the memory's locks is held. A subscriber
/// may take a short lock of its own. It must not plug, unplug or discard.
public protocol DiscardSubscriber: AnyObject, Sendable {
    /// The pages are about to be given back to the host.
    func willDiscard(_ run: PageRun)
    /// The pages were given back: each was zero at some moment since `willDiscard`. Nobody has been told yet that the discard is done.
    func didDiscard(_ run: PageRun)
    /// The discard failed: each page is as it was, or zero.
    func failedToDiscard(_ run: PageRun)
}

/// Keeps a subscriber subscribed until it is cancelled or released. A call that is in progress at that moment still arrives.
public final class DiscardSubscription: Sendable {
    private let subscribers: DiscardSubscribers
    private let number: Int

    fileprivate init(_ subscribers: DiscardSubscribers, _ number: Int) {
        self.subscribers = subscribers
        self.number = number
    }

    deinit { cancel() }

    /// Ends the subscription. A discard that is in progress may still make one call after this returns.
    public func cancel() { subscribers.remove(number) }
}

/// The subscribers to one memory's discards.
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
        // Taken out under the lock but released outside it, because releasing the subscriber may run its deinit.
        let removed = state.withLock { state in
            let place = state.all.firstIndex { $0.number == number }
            return place.map { state.all.remove(at: $0).subscriber }
        }
        _ = removed
    }
}
