public import AerostatGuestMemory

/// A link between the two sides, used by the one thread that drives a migration.
///
/// Nothing here blocks but `wait(until:)` and, at the very end, `discardIncoming(until:)`: waiting sleeps until a send or receive made
/// progress, the driver's doorbell rang, or the time came. So one thread serves both directions, cancellation and timers. A new transport
/// implements this protocol and nothing else.
public protocol Transport: AnyObject {
    /// Whether another frame may be handed over now.
    var canSend: Bool { get }
    /// Whether all that was handed over has left this process.
    var hasSentAll: Bool { get }
    /// Bytes that left this process.
    var bytesSent: Int { get }
    /// Bytes received.
    var bytesReceived: Int { get }
    /// Changes whenever bytes move in either direction, also those that left this process earlier and waited in the kernel: tells a slow
    /// link from a dead one.
    var bytesMoved: Int { get }

    /// Hands over a frame; the pages of its data runs are read from `memory` when they are sent, not now.
    func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError)

    /// The next frame that has arrived whole. After a runs frame, its pages must be received before the next frame comes.
    func takeFrame() throws(TransportError) -> Frame?

    /// Starts receiving the pages that follow a runs frame, into guest memory.
    func receivePages(_ runs: [PageRun], into memory: GuestRAM) throws(TransportError)
    /// Whether the pages asked for are all there.
    var hasReceivedPages: Bool { get }

    /// Whether the other side is a disk of this host: it answers when it is done, however long that takes, and is never a dead peer.
    var isDisk: Bool { get }
    /// What the link itself adds to the downtime, as far as it is known: a disk that must be waited for, say.
    var switchOverCost: Duration { get }

    /// What takes its time at this moment, in words that go with "waiting for"; `nil` where nothing does.
    var waitingFor: String? { get }

    /// Pages of the guest, once they are known: frames that name others are refused.
    var pageCount: Int { get set }

    /// Throws away what still comes, until the other side hangs up or the time is over.
    func discardIncoming(until deadline: ContinuousClock.Instant)

    /// Sleeps; see above. Failures of sends and receives under way surface here.
    func wait(until deadline: ContinuousClock.Instant?) throws(TransportError)
}

extension Transport {
    /// What leaves the process has moved, where nothing is known of a place in which it may wait.
    public var bytesMoved: Int { bytesSent + bytesReceived }
    /// Of the other side of a link nothing more is known than that it is silent.
    public var waitingFor: String? { nil }
}

/// Why a link is of no use any more.
public enum TransportError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The other side closed the link between two frames.
    case closed
    /// The link ended in the middle of a frame.
    case cut(missing: Int)
    case system(operation: String, reason: String)
    /// Nothing moved for this long.
    case stalled(seconds: Int)
    case stream(StreamError)
    /// The disk is full. `written`: bytes of guest memory that the file has or was about to get.
    case noSpace(path: String, written: Int)
    /// Commit may have been carried out, or not: the other side may run the guest.
    case outcomeUnknown(String)
    /// Commit was not carried out and never will be: the other side does not run the guest.
    case notCommitted(String)

    public var description: String {
        switch self {
        case .closed: "the other side closed the link"
        case .cut(let missing): "the link was cut in the middle of a frame (\(missing) bytes were still due)"
        case .system(let operation, let reason): "could not \(operation): \(reason)"
        case .stalled(let seconds): "the link is stuck: nothing moved for \(seconds) s"
        case .stream(let error): "\(error)"
        case .noSpace(let path, let written): "the disk is full: \(path) (\(written) bytes of it were written)"
        case .outcomeUnknown(let reason), .notCommitted(let reason): reason
        }
    }
}
