import AerostatGuestMemory
import AerostatMigration

/// A link that keeps what came over it, in the form that `StreamTarget` takes: of each page its first eight bytes.
final class RecordingLink: Transport {
    private let link: any Transport
    private var sequence: UInt32 = 0
    private var arriving: (runs: [PageRun], memory: GuestRAM)?
    private var frames: [UInt8] = []

    init(_ link: any Transport) { self.link = link }

    var recorded: [UInt8] { frames }

    func takeFrame() throws(TransportError) -> Frame? {
        guard let frame = try link.takeFrame() else { return nil }
        for page in arriving?.runs.flatMap(\.indices) ?? [] {
            let address = arriving!.memory.regions.address(of: PageIndex(page))
            frames += littleEndian(must { try arriving!.memory.load(UInt64.self, at: address) })
        }
        arriving = nil
        frames += frame.encode(sequence: sequence)
        sequence &+= 1
        return frame
    }

    func receivePages(_ runs: [PageRun], into memory: GuestRAM) throws(TransportError) {
        arriving = (runs, memory)
        try link.receivePages(runs, into: memory)
    }

    // MARK: All else as it is

    var canSend: Bool { link.canSend }
    var hasSentAll: Bool { link.hasSentAll }
    var bytesSent: Int { link.bytesSent }
    var bytesReceived: Int { link.bytesReceived }
    var hasReceivedPages: Bool { link.hasReceivedPages }
    var isDisk: Bool { link.isDisk }
    var switchOverCost: Duration { link.switchOverCost }
    var pageCount: Int {
        get { link.pageCount }
        set { link.pageCount = newValue }
    }
    func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) { try link.send(frame, from: memory) }
    func discardIncoming(until deadline: ContinuousClock.Instant) { link.discardIncoming(until: deadline) }
    func wait(until deadline: ContinuousClock.Instant?) throws(TransportError) { try link.wait(until: deadline) }
}
