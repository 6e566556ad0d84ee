import AerostatGuestMemory
import AerostatMigration

/// A link whose other side answers at once. It reports its own sends only when somebody waits on it.
final class ScriptedTransport: Transport {
    private let failure: TransportError?
    private var answers: [Frame] = []
    private var unsent = 0
    private var hasCommitted = false

    /// - Parameter failure: reported instead of the completion of the commit.
    init(failsAfterCommit failure: TransportError?) { self.failure = failure }

    var pageCount = 0
    let isDisk = false
    let switchOverCost: Duration = .zero
    private(set) var bytesSent = 0
    private(set) var bytesReceived = 0
    var canSend: Bool { true }
    var hasSentAll: Bool { unsent == 0 }
    var hasReceivedPages: Bool { true }

    func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) {
        unsent += 40
        switch frame {
        case .hello: answers.append(frame)
        case .roundEnd(let round): answers.append(.progress(round: round))
        case .switchover: answers.append(.ready(Ready()))
        case .commit:
            hasCommitted = true
            answers.append(.running)
        default: break
        }
    }

    func takeFrame() throws(TransportError) -> Frame? {
        guard !answers.isEmpty, !(hasCommitted && failure != nil) else { return nil }
        return answers.removeFirst()
    }

    func receivePages(_ runs: [PageRun], into memory: GuestRAM) throws(TransportError) {}
    func discardIncoming(until deadline: ContinuousClock.Instant) {}

    func wait(until deadline: ContinuousClock.Instant?) throws(TransportError) {
        if hasCommitted, let failure { throw failure }
        bytesSent += unsent
        unsent = 0
    }
}
