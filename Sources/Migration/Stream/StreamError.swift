package import AerostatHost

/// What is wrong with bytes that a peer sent. They are foreign input: none of these errors traps.
public enum StreamError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The bytes are not a frame of this protocol.
    case notAFrame(frame: UInt32)
    /// The peer speaks none of the stream versions known here.
    case versions(ClosedRange<UInt16>)
    case checksum(frame: UInt32)
    /// A frame was lost, repeated or reordered.
    case sequence(expected: UInt32, found: UInt32)
    case unknownKind(UInt16, frame: UInt32)
    /// A count or length above its stated maximum.
    case limit(String, value: UInt64, maximum: UInt64)
    /// The body ends early, has bytes left over, or holds a value that is not allowed.
    case malformed(String)
    /// A run of pages that is not in guest memory.
    case outsideMemory(firstPage: UInt64, count: UInt64, pages: Int)
    /// The frame is valid but not allowed at this point.
    case unexpected(FrameKind, during: String)

    public var description: String {
        switch self {
        case .notAFrame(let frame): "frame \(frame): the bytes are not an Aerostat migration stream"
        case .versions(let theirs):
            "the other side speaks stream versions \(theirs.lowerBound) to \(theirs.upperBound), "
                + "this one \(Hello.ourVersions.lowerBound) to \(Hello.ourVersions.upperBound)"
        case .checksum(let frame): "frame \(frame): the checksum is wrong; the stream is damaged"
        case .sequence(let expected, let found): "frame \(found) came where frame \(expected) was due"
        case .unknownKind(let kind, let frame): "frame \(frame): unknown kind \(kind)"
        case .limit(let what, let value, let maximum): "\(what) of \(value) exceeds the limit of \(maximum)"
        case .malformed(let what): "malformed frame: \(what)"
        case .outsideMemory(let first, let count, let pages): "pages \(first) + \(count) are outside guest memory of \(pages) pages"
        case .unexpected(let kind, let state): "a \(kind) frame came \(state)"
        }
    }
}

extension StreamError: FieldReadingError {
    package static func truncated(field: String, offset: Int) -> StreamError { .malformed("it ends in \(field), at byte \(offset)") }
    package static func trailing(byteCount: Int) -> StreamError { .malformed("\(byteCount) bytes too many") }
    package static func value(field: String, _ value: UInt64) -> StreamError { .malformed("impossible \(field): \(value)") }
    package static func limit(field: String, value: UInt64, maximum: UInt64) -> StreamError {
        .limit(field, value: value, maximum: maximum)
    }
}

/// Reads the body of a frame, or of a part of an image.
package typealias StreamReader = FieldReader<StreamError>
