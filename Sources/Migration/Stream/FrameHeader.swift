import AerostatHost

/// The kind of a frame. The numbers are those in the stream.
public enum FrameKind: UInt16, Hashable, Sendable {
    case hello = 1
    case roundBegin = 2
    case runs = 3
    case roundEnd = 4
    case deviceState = 5
    case digests = 6
    case switchover = 7
    case ready = 8
    case commit = 9
    case running = 10
    case abort = 11
    case progress = 12
}

/// The fixed part in front of every frame.
///
/// ```
///  0  magic         "AERO"
///  4  kind          u16
///  6  version       u16   of the stream, 1
///  8  round         u32
/// 12  count         u32   descriptors, digests or sections in the body
/// 16  body length   u32   bytes that follow, covered by the checksum
/// 20  sequence      u32   0, 1, 2 ... in each direction
/// 24  payload       u64   bytes of pages that follow the body, not covered
/// 32  checksum      u32   CRC-32C of the header with this field 0, and the body
/// 36  reserved      u32   0
/// ```
public struct FrameHeader: Hashable, Sendable {
    /// The length of a header in the stream.
    public static let byteCount = 40
    /// "AERO", read as a little-endian integer.
    public static let magic: UInt32 = 0x4F52_4541
    /// The version that this code writes.
    public static let version: UInt16 = 1
    /// Room for the largest device section and its name.
    public static let maximumBodyBytes = DeviceSection.maximumBytes + 4096
    /// The most bytes of pages behind one runs frame.
    public static let maximumPayloadBytes = 64 << 20

    public var kind: FrameKind
    public var round: UInt32
    public var count: UInt32
    public var bodyBytes: UInt32
    public var sequence: UInt32
    public var payloadBytes: UInt64

    /// Encodes a whole frame (header and body), checksum included.
    public static func encode(
        _ kind: FrameKind,
        round: UInt32 = 0,
        count: Int = 0,
        sequence: UInt32,
        body: [UInt8] = [],
        payloadBytes: Int = 0
    ) -> [UInt8] {
        precondition(body.count <= maximumBodyBytes && payloadBytes <= maximumPayloadBytes, "frame too large")
        var writer = FieldBytes(reserving: byteCount + body.count)
        writer.append(magic)
        writer.append(kind.rawValue)
        writer.append(version)
        writer.append(round)
        writer.append(UInt32(count))
        writer.append(UInt32(body.count))
        writer.append(sequence)
        writer.append(UInt64(payloadBytes))
        var checksum = CRC32C()
        unsafe checksum.add(writer.bytes.span.bytes)
        unsafe checksum.add([UInt8](repeating: 0, count: 8).span.bytes)
        unsafe checksum.add(body.span.bytes)
        writer.append(checksum.value)
        writer.append(UInt32(0))
        writer.append(body)
        return writer.bytes
    }

    /// Decodes the fixed part and checks its limits. The checksum is checked when the body has arrived.
    /// - Parameter sequence: the sequence number that is due.
    public init(decoding bytes: [UInt8], expecting sequence: UInt32) throws(StreamError) {
        var reader = StreamReader(bytes)
        guard bytes.count == Self.byteCount, try reader.take("magic", UInt32.self) == Self.magic else { throw .notAFrame(frame: sequence) }
        let rawKind: UInt16 = try reader.take("kind")
        // The hello agrees on the stream's version. The framing itself is version 1, before and after the hello.
        guard try reader.take("version", UInt16.self) == Self.version else { throw .notAFrame(frame: sequence) }
        round = try reader.take("round")
        count = try reader.take("count")
        bodyBytes = try reader.take("body length")
        self.sequence = try reader.take("sequence")
        payloadBytes = try reader.take("payload length")
        guard let kind = FrameKind(rawValue: rawKind) else { throw .unknownKind(rawKind, frame: sequence) }
        self.kind = kind
        guard bodyBytes <= Self.maximumBodyBytes else {
            throw .limit("frame body", value: UInt64(bodyBytes), maximum: UInt64(Self.maximumBodyBytes))
        }
        guard payloadBytes <= kind.maximumPayloadBytes else {
            throw .limit("frame payload", value: payloadBytes, maximum: UInt64(kind.maximumPayloadBytes))
        }
        #if BrokenEngines
            if BrokenEngine.isActive(.skipsSequence) { return }
        #endif
        guard self.sequence == sequence else { throw .sequence(expected: sequence, found: self.sequence) }
    }

    /// Checks header and body against the checksum in the header's bytes.
    public static func verify(header: [UInt8], body: [UInt8], frame: UInt32) throws(StreamError) {
        precondition(header.count == byteCount, "the fixed part has a fixed size")
        #if BrokenEngines
            if BrokenEngine.isActive(.skipsChecksum) { return }
        #endif
        var checksum = CRC32C()
        unsafe checksum.add(header.span.bytes.extracting(0..<32))
        unsafe checksum.add([UInt8](repeating: 0, count: 8).span.bytes)
        unsafe checksum.add(body.span.bytes)
        var reader = StreamReader(Array(header[32..<40]))
        guard try reader.take("checksum", UInt32.self) == checksum.value, try reader.take("padding", UInt32.self) == 0 else {
            throw .checksum(frame: frame)
        }
    }
}

extension FrameKind {
    /// Whether a destination may send this kind. Only a source may send the others, because some of them bring pages.
    public var isForDestinationToSay: Bool {
        switch self {
        case .hello, .ready, .running, .abort, .progress: true
        case .roundBegin, .runs, .roundEnd, .deviceState, .digests, .switchover, .commit: false
        }
    }

    /// Only runs carry pages.
    var maximumPayloadBytes: Int { self == .runs ? FrameHeader.maximumPayloadBytes : 0 }
}
