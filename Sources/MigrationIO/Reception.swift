import AerostatHost
import AerostatMigration
import Glibc
import Logging

/// Accepts the connections at the address where a migration is awaited.
///
/// Anybody can connect there. Several visitors are listened to in parallel, so that a silent one delays nobody. The first one that says
/// hello is let in. While its guest arrives, all others are immediately told that a migration is in progress.
struct Reception {
    /// More than the number of sources that would ever connect by accident. Each costs a descriptor and at most the bytes of a hello.
    static let maximumVisitors = 16
    static let busy = "a migration is under way there already"

    /// A visitor that said hello.
    struct Caller: ~Copyable, Sendable {
        let socket: OwnedDescriptor
        let first: FirstFrame
    }

    private let listener: Listener
    private let uri: MigrationURI
    private let limits: MigrationLimits
    private let logger: Logger
    /// In the order of their arrival.
    private var visitors: [Visitor] = []
    private var isBusy = false
    /// How many were turned away during the current migration. Only the first is logged.
    private var turnedAway = 0
    /// When to call `accept` again after it failed.
    private var nextAccept: MonotonicClock.Instant?

    /// Lends a listening socket to several threads.
    final class Listener: Sendable {
        let socket: ListeningSocket
        init(_ socket: consuming ListeningSocket) { self.socket = socket }
    }

    init(_ listener: Listener, at uri: MigrationURI, limits: MigrationLimits, logger: Logger) {
        self.listener = listener
        self.uri = uri
        self.limits = limits
        self.logger = logger
    }

    /// Waits until a visitor says hello.
    /// - Returns: `nil` if the doorbell rang first. The ring is not answered here; the doorbell's owner does that.
    mutating func awaitHello(unlessRung doorbell: Doorbell) throws(SocketError) -> Caller? {
        while let speakers = try nextSpeakers(unlessRung: doorbell) {
            for visitor in speakers {
                switch visitor.listen() {
                case .nothing: continue
                case .hello(let first):
                    remove(visitor)
                    guard let socket = visitor.takeSocket() else { preconditionFailure("a visitor without a connection") }
                    return Caller(socket: socket, first: first)
                case .noSource(let reason, let isThere):
                    ignore(visitor, reason)
                    if !isThere { remove(visitor) }
                }
            }
        }
        return nil
    }

    /// Tells every visitor, present and future, that a migration is in progress.
    mutating func turnAway(unlessRung doorbell: Doorbell) throws(SocketError) {
        (isBusy, turnedAway) = (true, 0)
        defer { isBusy = false }
        for visitor in visitors where !visitor.isLeaving { turnAway(visitor) }
        while try nextSpeakers(unlessRung: doorbell) != nil {}
    }

    // MARK: One step

    /// Sleeps until something happens, accepts new visitors and sends away those whose time is over.
    /// - Returns: the visitors that sent something; `nil` if the doorbell rang.
    private mutating func nextSpeakers(unlessRung doorbell: Doorbell) throws(SocketError) -> [Visitor]? {
        // `poll` ignores a negative descriptor.
        var entries = [doorbell.descriptor, nextAccept == nil ? listener.socket.number : -1].map(Self.entry)
        entries += visitors.map { Self.entry($0.number) }
        _ = unsafe poll(&entries, nfds_t(entries.count), timeout)
        if entries[0].revents != 0 { return nil }
        let ready = zip(visitors, entries.dropFirst(2)).filter { $0.1.revents != 0 }.map(\.0)
        for visitor in ready where visitor.isLeaving && visitor.hasLeft() { remove(visitor) }
        let now = limits.clock()
        for visitor in visitors where visitor.deadline <= now {
            if visitor.isLeaving {
                remove(visitor)
            } else {
                ignore(visitor, "it did not say hello within \(Int(limits.greeting.inSeconds)) s")
            }
        }
        if let nextAccept, nextAccept <= now { self.nextAccept = nil }
        if entries[1].revents != 0 { try letIn() }
        return ready.filter { !$0.isLeaving }
    }

    private static func entry(_ number: Int32) -> pollfd { pollfd(fd: number, events: Int16(POLLIN), revents: 0) }

    /// Milliseconds until there is something to do even if nobody sends anything; -1 for never.
    private var timeout: Int32 {
        guard let next = (visitors.map(\.deadline) + [nextAccept].compactMap(\.self)).min() else { return -1 }
        return Int32(clamping: max(.zero, limits.clock().duration(to: next)).wholeMilliseconds + 1)
    }

    private mutating func letIn() throws(SocketError) {
        for _ in 0..<Self.maximumVisitors {
            switch try listener.socket.acceptNow() {
            case .nobody: return
            case .failed(let error):
                if nextAccept == nil { logger.warning("\(error); still waiting at \(uri)") }
                nextAccept = limits.clock() + ListeningSocket.pauseAfterFailure
                return
            case .connection(let socket):
                makeRoom()
                let visitor = Visitor(socket, until: limits.clock() + limits.greeting)
                visitors.append(visitor)
                if isBusy { turnAway(visitor) }
            }
        }
    }

    /// Removes the visitor that has been here longest, preferably one that is already leaving.
    private mutating func makeRoom() {
        guard visitors.count >= Self.maximumVisitors, let oldest = visitors.first(where: \.isLeaving) ?? visitors.first else { return }
        if !oldest.isLeaving { ignore(oldest, "it had not said hello when \(Self.maximumVisitors) newer ones had connected") }
        remove(oldest)
    }

    // MARK: The door

    private func ignore(_ visitor: Visitor, _ reason: String) {
        logger.warning("ignored a connection that brought no migration: \(reason); still waiting at \(uri)")
        visitor.sendAway(reason, until: limits.clock() + limits.farewell)
    }

    private mutating func turnAway(_ visitor: Visitor) {
        turnedAway += 1
        if turnedAway == 1 { logger.warning("turned a connection away: a migration is under way") }
        visitor.sendAway(Self.busy, until: limits.clock() + limits.farewell)
    }

    private mutating func remove(_ visitor: Visitor) { visitors.removeAll { $0 === visitor } }
}
