/// What is wrong with a guest image. The file is foreign input: none of these errors traps.
public enum ImageError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file does not begin like an image.
    case notAnImage
    case version(UInt32)
    case pageSize(UInt32)
    /// Writing was begun and never finished.
    case incomplete
    /// A part of the file disagrees with its checksum: one of the `byteCount` bytes from this offset on is damaged.
    case checksum(part: String, offset: Int, byteCount: Int)
    /// A page's bytes disagree with its checksum.
    case pageChecksum(page: Int, offset: Int, expected: UInt32, found: UInt32)
    /// The file is shorter (or longer) than its header says.
    case length(expected: Int, found: Int)
    /// A header field, table or section holds a value that it must not have.
    case malformed(part: String, offset: Int, reason: String)
    /// Another process runs the image's guest or writes to the image, or copies of the guest run.
    case inUse(byCopies: Bool)
    /// The guest has moved on from the image, or was about to.
    case left
    case system(operation: String, path: String, reason: String)
    /// The operation was cancelled by its caller.
    case interrupted

    public var description: String {
        switch self {
        case .notAnImage: "it is no Aerostat guest image: its first bytes are others"
        case .version(let version): "it was written in version \(version) of the format, this program knows version \(ImageHeader.version)"
        case .pageSize(let size): "it has pages of \(size) bytes, this machine has pages of 4096"
        case .incomplete: "it was never finished: its completeness mark is missing (offset 16)"
        case .checksum(let part, let offset, let count):
            "\(part) is damaged: the checksum over the \(count) bytes from offset \(offset) is wrong"
        case .pageChecksum(let page, let offset, let expected, let found):
            "page \(page) is damaged (offset \(offset)): its CRC-32C is 0x\(String(found, radix: 16)), "
                + "where 0x\(String(expected, radix: 16)) was written"
        case .length(let expected, let found):
            found < expected
                ? "it is cut off: \(found) bytes long, where its header says \(expected)"
                : "it is \(found) bytes long, where its header says \(expected)"
        case .malformed(let part, let offset, let reason): "\(part) is malformed (offset \(offset)): \(reason)"
        case .inUse(byCopies: false): "another process has its guest, or is writing to it; end that process first ('aerostat quit')"
        case .inUse(byCopies: true):
            "copies of its guest run; end them first ('aerostat quit'), or start one more copy with --clone"
        case .left:
            "its guest has moved on to another process or image, or was about to when its process was killed, and must not run twice; "
                + "where it runs nowhere any more, or a copy is wanted, start it with --clone"
        case .system(let operation, let path, let reason): "could not \(operation) (\(path)): \(reason)"
        case .interrupted: "reading it was interrupted"
        }
    }
}
