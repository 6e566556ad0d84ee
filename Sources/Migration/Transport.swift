public import AerostatGuestMemory

/// A link between the two sides. The one thread that drives a migration uses it.
///
/// Only `wait(until:)` and, at the very end, `discardIncoming(until:)` block. `wait` sleeps until a send or receive makes progress, the
/// driver's doorbell rings, or the time comes. So one thread serves both directions, cancellation and timers. A new transport implements
/// this protocol and nothing else.
public protocol Transport: AnyObject {
    /// Whether another frame may be handed over now.
    var canSend: Bool { get }
    /// Whether everything that was handed over has left this process.
    var hasSentAll: Bool { get }
    /// Bytes that left this process.
    var bytesSent: Int { get }
    /// Bytes received.
    var bytesReceived: Int { get }
    /// Changes whenever bytes move in either direction, including bytes that left this process earlier and waited in the kernel. It tells a
    /// slow link from a dead one.
    var bytesMoved: Int { get }

    /// Hands over a frame; the pages of its data runs are read from `memory` when they are sent, not now.
    func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError)

    /// The next frame that has arrived whole. After a runs frame, the caller must receive its pages before it takes the next frame.
    func takeFrame() throws(TransportError) -> Frame?

    /// Starts receiving the pages that follow a runs frame, into guest memory.
    func receivePages(_ runs: [PageRun], into memory: GuestRAM) throws(TransportError)
    /// Whether all requested pages have arrived.
    var hasReceivedPages: Bool { get }

    /// Whether the other side is a disk of this host. A disk answers when it is done, however long that takes, and never counts as a dead
    /// peer.
    var isDisk: Bool { get }
    /// Time that the link itself adds to the downtime, as far as it is known: the wait for a disk, for example.
    var switchOverCost: Duration { get }

    /// What the link is waiting for at the moment, as text to follow "waiting for"; `nil` if nothing.
    var waitingFor: String? { get }

    /// The number of the guest's pages, once it is known. Frames that name other pages are refused.
    var pageCount: Int { get set }

    /// Discards incoming bytes until the other side hangs up or the deadline passes.
    func discardIncoming(until deadline: ContinuousClock.Instant)

    /// Sleeps; see above. Sends and receives that fail in the background throw here.
    func wait(until deadline: ContinuousClock.Instant?) throws(TransportError)
}

extension Transport {
    /// By default, bytes have moved when they leave or enter this process: nothing is known of buffers in between.
    public var bytesMoved: Int { bytesSent + bytesReceived }
    /// By default there is nothing to name: a silent peer does not say what it is doing.
    public var waitingFor: String? { nil }
}

/// Why a link can no longer be used.
public enum TransportError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The other side closed the link between two frames.
    case closed
    /// The link ended in the middle of a frame.
    case cut(missing: Int)
    case system(operation: String, reason: String)
    /// Nothing moved for this long.
    case stalled(seconds: Int)
    case stream(StreamError)
    /// The disk is full. `written`: bytes of guest memory that were written or about to be written.
    case noSpace(path: String, written: Int)
    /// Nobody knows whether commit was carried out: the other side may run the guest.
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
