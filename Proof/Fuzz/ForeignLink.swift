import AerostatGuestMemory
import AerostatHost
import AerostatMigration

/// A link whose other side is a fuzzer's input.
final class ForeignLink: Transport {
    private var input: FuzzInput
    private let repairs: Bool
    private var sequence: UInt32 = 0
    private var framesLeft = 64
    private var pagesLeft = 1024

    /// The frame that was handed out last, until the next one is asked for: then it was accepted, and all of it done.
    private var last: (frame: Frame, stamps: [UInt64])?
    var model: PageModel?
    private(set) var hasCommitted = false
    private(set) var ready: Ready?
    private var verifies = false

    init(_ input: FuzzInput, repairs: Bool) {
        self.input = input
        self.repairs = repairs
    }

    var pageCount = 0
    var canSend: Bool { true }
    var hasSentAll: Bool { true }
    var hasReceivedPages: Bool { true }
    private(set) var bytesSent = 0
    var bytesReceived: Int { input.position }
    let isDisk = false
    let switchOverCost: Duration = .zero

    func discardIncoming(until deadline: ContinuousClock.Instant) {}

    func wait(until deadline: ContinuousClock.Instant?) throws(TransportError) { throw .closed }

    func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) {
        bytesSent += frame.encode(sequence: 0).count
        switch frame {
        case .ready(let ready):
            self.ready = ready
            if verifies { model?.finishComparison() }
            demand(ready == model?.expected, "ready says \(ready), and \(String(describing: model?.expected)) is right")
        case .running: demand(hasCommitted, "running answers a commit")
        case .hello, .progress, .abort: break
        case .roundBegin, .runs, .roundEnd, .deviceState, .digests, .switchover, .commit: demand(false, "a destination sends no such frame")
        }
    }

    // MARK: Frames

    func takeFrame() throws(TransportError) -> Frame? {
        settle()
        guard framesLeft > 0, pagesLeft > 0, input.remaining > 0 else { return nil }
        framesLeft -= 1
        do throws(StreamError) {
            guard let frame = try nextFrame() else { throw StreamError.malformed("cut") }
            last = (frame, [])
            if case .commit = frame { hasCommitted = ready != nil }
            return frame
        } catch {
            throw .stream(error)
        }
    }

    /// The last frame was accepted: what it says is so.
    private func settle() {
        defer { last = nil }
        switch last?.frame {
        case .hello(let hello): verifies = hello.capabilities.contains(.verify)
        case .runs(let runs, _): model?.apply(runs, last?.stamps ?? [])
        case .digests(let digests): model?.compare(digests)
        default: break
        }
    }

    private func nextFrame() throws(StreamError) -> Frame? {
        var head = input.take(atMost: FrameHeader.byteCount)
        guard head.count == FrameHeader.byteCount else { return nil }
        if repairs { repair(&head) }
        let header = try FrameHeader(decoding: head, expecting: sequence)
        demand(Int(header.bodyBytes) <= FrameHeader.maximumBodyBytes && header.payloadBytes <= FrameHeader.maximumPayloadBytes, "limits")
        guard Int(header.bodyBytes) <= input.remaining else { return nil }
        let body = input.take(atMost: Int(header.bodyBytes))
        if repairs { seal(&head, body) }
        try FrameHeader.verify(header: head, body: body, frame: sequence)
        // As if the guest had all the pages that one can have: no number is too large for the decoder.
        if let frame = try? Frame(header, body: body, pageCount: Int(RegionTable.maximumBytes >> UInt64(GuestPage.shift))) {
            expectRoundTrip(frame, header, body)
        }
        let frame = try Frame(header, body: body, pageCount: pageCount)
        expectInside(frame)
        sequence &+= 1
        return frame
    }

    private func repair(_ head: inout [UInt8]) {
        head.replaceSubrange(0..<4, with: littleEndian(FrameHeader.magic))
        head.replaceSubrange(6..<8, with: littleEndian(FrameHeader.version))
        head.replaceSubrange(20..<24, with: littleEndian(sequence))
        head.replaceSubrange(36..<40, with: littleEndian(UInt32(0)))
    }

    private func seal(_ head: inout [UInt8], _ body: [UInt8]) {
        let checksum = CRC32C.of(Array(head[..<32]) + [UInt8](repeating: 0, count: 8) + body)
        head.replaceSubrange(32..<36, with: littleEndian(checksum))
    }

    /// What was decoded says the same when it is written again.
    private func expectRoundTrip(_ frame: Frame, _ header: FrameHeader, _ body: [UInt8]) {
        // A text that is repaired may become longer than a frame carries; nobody sends it on.
        if case .abort(let reason) = frame, reason.utf8.count > Frame.maximumReasonBytes { return }
        let encoded = frame.encode(sequence: header.sequence)
        let head = Array(encoded[..<FrameHeader.byteCount])
        let again = Array(encoded[FrameHeader.byteCount...])
        do throws(StreamError) {
            let second = try FrameHeader(decoding: head, expecting: header.sequence)
            try FrameHeader.verify(header: head, body: again, frame: header.sequence)
            demand(second.payloadBytes == header.payloadBytes && second.kind == header.kind, "a frame keeps its kind and payload")
            let other = try Frame(second, body: again, pageCount: Int(RegionTable.maximumBytes >> UInt64(GuestPage.shift)))
            demand(other == frame && other.encode(sequence: header.sequence) == encoded, "\(frame) is written and read again as \(other)")
        } catch {
            demand(false, "\(frame) cannot be read again: \(error)")
        }
        switch frame {
        // Text that is no UTF-8 is repaired, and numbers that are none are cut.
        case .deviceState, .abort, .ready: break
        case .hello(let hello) where hello.requirements.contains { $0.name.contains("\u{FFFD}") }: break
        default: demand(again == body, "\(frame) is written in the bytes that it was read from")
        }
    }

    private func expectInside(_ frame: Frame) {
        func isInside(_ first: PageIndex, _ count: Int) -> Bool { first.rawValue >= 0 && count > 0 && first.rawValue + count <= pageCount }
        switch frame {
        case .runs(let runs, _):
            demand(
                runs.count <= RunDescriptor.maximumCount && runs.allSatisfy { isInside($0.run.first, $0.run.count) },
                "runs are inside RAM"
            )
        case .digests(let run): demand(isInside(run.first, run.digests.count), "digests are of pages inside RAM")
        default: break
        }
    }

    // MARK: Pages

    func receivePages(_ runs: [PageRun], into memory: GuestRAM) throws(TransportError) {
        for page in runs.flatMap(\.indices) {
            let stamp = input.take(UInt64.self)
            last?.stamps.append(stamp)
            pagesLeft -= 1
            unsafe memory.withWritablePages(PageRun(first: PageIndex(page), count: 1)) {
                unsafe $0.bindMemory(to: UInt64.self).update(repeating: stamp)
            }
        }
    }
}

/// Little-endian.
func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    var writer = FieldBytes()
    writer.append(value)
    return writer.bytes
}
