public import AerostatGuestMemory
import AerostatHost

/// Pages of one kind, as a runs frame describes them: 16 bytes, first page u64, count u32, kind u8, three zero bytes.
public struct RunDescriptor: Hashable, Sendable {
    /// What is sent for the run's pages.
    public enum Kind: UInt8, Hashable, Sendable {
        /// The pages' bytes follow in the payload.
        case data = 0
        /// All bytes of the pages are zero.
        case zero = 1
        /// The guest does not use the pages. They read as zero until they are written.
        case free = 2
    }

    /// The length of a descriptor in the stream.
    public static let byteCount = 16
    /// The most runs in one frame. A frame goes out as one message of at most 1024 pieces, header included.
    public static let maximumCount = 1000

    public var kind: Kind
    public var run: PageRun

    public init(_ kind: Kind, _ run: PageRun) {
        self.kind = kind
        self.run = run
    }
}

/// The digests of consecutive pages.
public struct DigestRun: Hashable, Sendable {
    /// The most digests in one frame: 32 KiB of body.
    public static let maximumCount = 4096

    public var first: PageIndex
    public var digests: [UInt64]

    public init(first: PageIndex, digests: [UInt64]) {
        self.first = first
        self.digests = digests
    }
}

/// The destination says that it holds everything.
public struct Ready: Hashable, Sendable {
    public var pagesCompared = 0
    public var pagesFree = 0
    public var differences = 0
    public var firstDifference: Int?

    public init() {}
}

/// A decoded frame. The pages of `runs` follow it on the link.
public enum Frame: Hashable, Sendable {
    case hello(Hello)
    case roundBegin(UInt32)
    case runs([RunDescriptor], round: UInt32)
    case roundEnd(UInt32)
    case deviceState(DeviceSection)
    case digests(DigestRun)
    /// - guestRuns: whether the guest shall run after commit, or stay paused as it was.
    case switchover(sections: Int, guestRuns: Bool)
    case ready(Ready)
    case commit
    case running
    case abort(String)
    case progress(round: UInt32)

    /// The longest reason in an abort, in bytes of UTF-8.
    public static let maximumReasonBytes = 1024

    /// Encodes a frame. For runs, the pages follow it on the link.
    public func encode(sequence: UInt32) -> [UInt8] {
        var body = FieldBytes()
        switch self {
        case .hello(let hello):
            return FrameHeader.encode(.hello, sequence: sequence, body: hello.encode())
        case .roundBegin(let round):
            return FrameHeader.encode(.roundBegin, round: round, sequence: sequence)
        case .roundEnd(let round):
            return FrameHeader.encode(.roundEnd, round: round, sequence: sequence)
        case .runs(let runs, let round):
            body = FieldBytes(reserving: runs.count * RunDescriptor.byteCount)
            var payload = 0
            for descriptor in runs {
                body.append(UInt64(descriptor.run.first.rawValue))
                body.append(UInt32(descriptor.run.count))
                body.append(UInt32(descriptor.kind.rawValue))
                if descriptor.kind == .data { payload += descriptor.run.byteCount }
            }
            return FrameHeader.encode(
                .runs,
                round: round,
                count: runs.count,
                sequence: sequence,
                body: body.bytes,
                payloadBytes: payload
            )
        case .deviceState(let section):
            section.append(to: &body)
            return FrameHeader.encode(.deviceState, count: 1, sequence: sequence, body: body.bytes)
        case .digests(let digests):
            body = FieldBytes(reserving: 8 + digests.digests.count * 8)
            body.append(UInt64(digests.first.rawValue))
            for digest in digests.digests { body.append(digest) }
            return FrameHeader.encode(.digests, count: digests.digests.count, sequence: sequence, body: body.bytes)
        case .switchover(let sections, let runs):
            body.append(UInt32(runs ? 1 : 0))
            return FrameHeader.encode(.switchover, count: sections, sequence: sequence, body: body.bytes)
        case .ready(let ready):
            body.append(UInt64(ready.pagesCompared))
            body.append(UInt64(ready.pagesFree))
            body.append(UInt64(ready.differences))
            body.append(UInt64(bitPattern: Int64(ready.firstDifference ?? -1)))
            return FrameHeader.encode(.ready, sequence: sequence, body: body.bytes)
        case .commit: return FrameHeader.encode(.commit, sequence: sequence)
        case .running: return FrameHeader.encode(.running, sequence: sequence)
        case .abort(let reason):
            body.appendCounted(Array(reason.utf8.prefix(Self.maximumReasonBytes)))
            return FrameHeader.encode(.abort, sequence: sequence, body: body.bytes)
        case .progress(let round):
            return FrameHeader.encode(.progress, round: round, sequence: sequence)
        }
    }

    /// Decodes a body, which a peer sent (rule "hostile guest, hostile peer"). Its checksum must have been checked.
    /// - Parameter pageCount: pages of the guest; runs and digests outside are refused. 0 before the hello.
    public init(_ header: FrameHeader, body: [UInt8], pageCount: Int) throws(StreamError) {
        var reader = StreamReader(body)
        switch header.kind {
        case .hello:
            self = .hello(try Hello(decoding: body))
            return
        case .roundBegin: self = .roundBegin(header.round)
        case .roundEnd: self = .roundEnd(header.round)
        case .progress: self = .progress(round: header.round)
        case .commit: self = .commit
        case .running: self = .running
        case .runs:
            self = .runs(try Self.decodeRuns(&reader, header, pageCount: pageCount), round: header.round)
        case .deviceState:
            self = .deviceState(try DeviceSection(&reader))
        case .digests:
            guard header.count <= DigestRun.maximumCount else {
                throw .limit("number of digests", value: UInt64(header.count), maximum: UInt64(DigestRun.maximumCount))
            }
            let first: UInt64 = try reader.take("first page")
            _ = try Self.checkedRun(first: first, count: header.count, pageCount: pageCount)
            var digests: [UInt64] = []
            digests.reserveCapacity(Int(header.count))
            for _ in 0..<header.count { digests.append(try reader.take("digest")) }
            self = .digests(DigestRun(first: PageIndex(Int(first)), digests: digests))
        case .switchover:
            try DeviceSection.limit(count: Int(header.count))
            let flags: UInt32 = try reader.take("switchover flags")
            guard flags <= 1 else { throw .malformed("switchover flags \(flags)") }
            self = .switchover(sections: Int(header.count), guestRuns: flags == 1)
        case .ready:
            var ready = Ready()
            ready.pagesCompared = Int(clamping: try reader.take("pages compared", UInt64.self))
            ready.pagesFree = Int(clamping: try reader.take("pages free", UInt64.self))
            ready.differences = Int(clamping: try reader.take("differences", UInt64.self))
            let first = Int64(bitPattern: try reader.take("first difference", UInt64.self))
            ready.firstDifference = first < 0 ? nil : Int(first)
            self = .ready(ready)
        case .abort:
            self = .abort(try reader.takeCountedText("reason", maximum: Self.maximumReasonBytes))
        }
        try reader.finish()
    }

    /// The kind in the frame's header.
    public var kind: FrameKind {
        switch self {
        case .hello: .hello
        case .roundBegin: .roundBegin
        case .runs: .runs
        case .roundEnd: .roundEnd
        case .deviceState: .deviceState
        case .digests: .digests
        case .switchover: .switchover
        case .ready: .ready
        case .commit: .commit
        case .running: .running
        case .abort: .abort
        case .progress: .progress
        }
    }

    private static func decodeRuns(
        _ reader: inout StreamReader,
        _ header: FrameHeader,
        pageCount: Int
    ) throws(StreamError) -> [RunDescriptor] {
        guard header.count <= RunDescriptor.maximumCount else {
            throw .limit("number of runs", value: UInt64(header.count), maximum: UInt64(RunDescriptor.maximumCount))
        }
        var runs: [RunDescriptor] = []
        runs.reserveCapacity(Int(header.count))
        var payload = 0
        for _ in 0..<header.count {
            let first: UInt64 = try reader.take("first page")
            let count: UInt32 = try reader.take("length of run")
            let rawKind: UInt32 = try reader.take("kind of run")
            guard let kind = UInt8(exactly: rawKind).flatMap(RunDescriptor.Kind.init(rawValue:)) else {
                throw .malformed("kind of run \(rawKind)")
            }
            let run = try checkedRun(first: first, count: count, pageCount: pageCount)
            runs.append(RunDescriptor(kind, run))
            if kind == .data { payload += run.byteCount }
        }
        guard UInt64(payload) == header.payloadBytes else {
            throw .malformed("runs of \(payload) bytes with a payload of \(header.payloadBytes)")
        }
        return runs
    }

    private static func checkedRun(first: UInt64, count: UInt32, pageCount: Int) throws(StreamError) -> PageRun {
        guard count > 0, first < UInt64(pageCount), UInt64(count) <= UInt64(pageCount) - first else {
            throw .outsideMemory(firstPage: first, count: UInt64(count), pages: pageCount)
        }
        return PageRun(first: PageIndex(Int(first)), count: Int(count))
    }
}
