/// Why a text is not JSON that this parser accepts.
public enum JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    case unexpected(byte: UInt8, at: Int)
    case invalidString(at: Int)
    case invalidNumber(at: Int)
    case invalidWord(at: Int)
    case duplicateKey(String, at: Int)
    case tooDeep(limit: Int, at: Int)
    case tooLong(limit: Int)
    case truncated(at: Int)
    /// Byte 0xFF in a stream.
    case freshStart

    public var description: String {
        switch self {
        case .unexpected(let byte, let place):
            (0x21...0x7e).contains(byte)
                ? "unexpected '\(Character(Unicode.Scalar(byte)))' at byte \(place)"
                : "unexpected byte 0x\(String(byte, radix: 16)) at byte \(place)"
        case .invalidString(let place): "invalid string before byte \(place)"
        case .invalidNumber(let place): "invalid number before byte \(place)"
        case .invalidWord(let place): "invalid keyword before byte \(place)"
        case .duplicateKey(let key, let place): "duplicate key '\(key)' before byte \(place)"
        case .tooDeep(let limit, let place): "nested deeper than \(limit) levels at byte \(place)"
        case .tooLong(let limit): "longer than \(limit) bytes"
        case .truncated(let place): "ends too early, at byte \(place)"
        case .freshStart: "byte 0xff: the unfinished document before it is dropped"
        }
    }
}

/// Reads JSON (RFC 8259) byte by byte. The first wrong byte is an error at once, so nobody waits for the rest of a document that can no
/// longer become valid. The documents of a stream may be separated by line ends or follow each other directly.
///
/// Memory is bounded by the limits: at most `bytes` are held for one document, on at most `depth` levels.
public struct JSONParser: Sendable {
    /// The most that one document may use.
    public struct Limits: Sendable {
        public var bytes: Int
        public var depth: Int

        /// The limits for a QMP request.
        public static let request = Limits(bytes: 64 << 10, depth: 64)
        /// The limits for a server's replies to our client: a report with many rounds is long.
        public static let reply = Limits(bytes: 16 << 20, depth: 64)
        /// For documents that this process wrote.
        static let trusted = Limits(bytes: .max, depth: 64)
    }

    private enum Container {
        case array([JSONValue])
        case object([String: JSONValue], key: String?)
    }

    /// What may come next, between tokens.
    private enum Expectation {
        case value, valueOrEnd, key, keyOrEnd, colon, commaOrEnd
    }

    private enum Token {
        case none, number, word
        case string(escaped: Bool)
    }

    private let limits: Limits
    private var stack: [Container] = []
    private var expectation = Expectation.value
    private var token = Token.none
    /// The bytes of the token that is being read. A string's bytes are raw, escapes included.
    private var bytes: [UInt8] = []
    private var position = 0

    public init(limits: Limits) { self.limits = limits }

    /// Whether a document has begun and not ended yet.
    public var isInside: Bool {
        if case .none = token { !stack.isEmpty } else { true }
    }

    /// How many arrays and objects are open.
    var depth: Int { stack.count }

    /// Takes the stream's next byte.
    /// - Returns: the document that this byte completed. A number or keyword at the top level ends with the byte after it.
    /// - Throws: at the first byte that cannot belong to a document. The parser then starts afresh.
    public mutating func feed(_ byte: UInt8) throws(JSONError) -> JSONValue? {
        do throws(JSONError) {
            let document = try take(byte)
            if document != nil, !isInside { position = 0 }
            return document
        } catch {
            reset()
            throw error
        }
    }

    /// Drops the document that has begun.
    public mutating func reset() { self = JSONParser(limits: limits) }

    /// Parses a text that holds one document.
    public static func parse(_ text: some Sequence<UInt8>, limits: Limits) throws(JSONError) -> JSONValue {
        var parser = JSONParser(limits: limits)
        var result: JSONValue?
        var count = 0
        // The line end terminates a number or keyword at the top level.
        for byte in Array(text) + [0x0a] {
            if result != nil, !isSpace(byte) { throw .unexpected(byte: byte, at: count) }
            if let document = try parser.feed(byte) { result = document }
            count += 1
        }
        // The byte that ended a bare number may have begun a second document.
        guard let result, !parser.isInside else { throw .truncated(at: count - 1) }
        return result
    }

    private mutating func take(_ byte: UInt8) throws(JSONError) -> JSONValue? {
        if isInside || !Self.isSpace(byte) {
            position += 1
            if position > limits.bytes { throw .tooLong(limit: limits.bytes) }
        }
        switch token {
        case .none: return try begin(byte)
        case .string(let escaped): return try continueString(byte, escaped: escaped)
        case .number, .word:
            if Self.isWordByte(byte) {
                bytes.append(byte)
                return nil
            }
            let document = try accept(try endWord())
            // The byte after a bare value at the top level may be white space, or may begin the next document.
            let next = try begin(byte)
            precondition(document == nil || next == nil, "one byte ends at most one document")
            return document ?? next
        }
    }

    private mutating func begin(_ byte: UInt8) throws(JSONError) -> JSONValue? {
        if Self.isSpace(byte) { return nil }
        switch (byte, expectation) {
        case (UInt8(ascii: "\""), .value), (UInt8(ascii: "\""), .valueOrEnd), (UInt8(ascii: "\""), .key), (UInt8(ascii: "\""), .keyOrEnd):
            token = .string(escaped: false)
        case (UInt8(ascii: "{"), .value), (UInt8(ascii: "{"), .valueOrEnd):
            try push(.object([:], key: nil), expecting: .keyOrEnd)
        case (UInt8(ascii: "["), .value), (UInt8(ascii: "["), .valueOrEnd):
            try push(.array([]), expecting: .valueOrEnd)
        case (UInt8(ascii: ":"), .colon): expectation = .value
        case (UInt8(ascii: ","), .commaOrEnd):
            if case .object = stack.last { expectation = .key } else { expectation = .value }
        case (UInt8(ascii: "}"), .keyOrEnd), (UInt8(ascii: "}"), .commaOrEnd):
            guard case .object(let members, _) = stack.last else { throw .unexpected(byte: byte, at: position - 1) }
            stack.removeLast()
            return try accept(.object(members))
        case (UInt8(ascii: "]"), .valueOrEnd), (UInt8(ascii: "]"), .commaOrEnd):
            guard case .array(let items) = stack.last else { throw .unexpected(byte: byte, at: position - 1) }
            stack.removeLast()
            return try accept(.array(items))
        case (UInt8(ascii: "-"), .value), (UInt8(ascii: "-"), .valueOrEnd),
            (UInt8(ascii: "0")...UInt8(ascii: "9"), .value), (UInt8(ascii: "0")...UInt8(ascii: "9"), .valueOrEnd):
            token = .number
            bytes = [byte]
        case (UInt8(ascii: "a")...UInt8(ascii: "z"), .value), (UInt8(ascii: "a")...UInt8(ascii: "z"), .valueOrEnd):
            token = .word
            bytes = [byte]
        default: throw .unexpected(byte: byte, at: position - 1)
        }
        return nil
    }

    private mutating func push(_ container: Container, expecting next: Expectation) throws(JSONError) {
        guard stack.count < limits.depth else { throw .tooDeep(limit: limits.depth, at: position - 1) }
        stack.append(container)
        expectation = next
    }

    private mutating func continueString(_ byte: UInt8, escaped: Bool) throws(JSONError) -> JSONValue? {
        guard byte >= 0x20 else { throw .invalidString(at: position) }
        if !escaped, byte == UInt8(ascii: "\"") {
            guard let string = JSONString.decode(bytes) else { throw .invalidString(at: position) }
            token = .none
            bytes = []
            return try accept(string)
        }
        bytes.append(byte)
        token = .string(escaped: !escaped && byte == UInt8(ascii: "\\"))
        return nil
    }

    private mutating func endWord() throws(JSONError) -> JSONValue {
        defer { (token, bytes) = (.none, []) }
        if case .number = token {
            guard let number = JSONNumber.decode(bytes) else { throw .invalidNumber(at: position) }
            return number
        }
        switch String(decoding: bytes, as: UTF8.self) {
        case "true": return true
        case "false": return false
        case "null": return .null
        default: throw .invalidWord(at: position)
        }
    }

    /// Adds a complete string to its container, as a key or as a value.
    private mutating func accept(_ string: String) throws(JSONError) -> JSONValue? {
        guard case .object(let members, nil) = stack.last else { return try accept(.string(string)) }
        if members[string] != nil { throw .duplicateKey(string, at: position) }
        stack[stack.count - 1] = .object(members, key: string)
        expectation = .colon
        return nil
    }

    /// Adds a complete value to its container.
    private mutating func accept(_ value: JSONValue) throws(JSONError) -> JSONValue? {
        // Popped, so that there is only one reference to the container and it grows in place.
        switch stack.popLast() {
        case nil:
            expectation = .value
            return value
        case .array(var items):
            items.append(value)
            stack.append(.array(items))
        case .object(var members, let key):
            guard let key else { preconditionFailure("a member's value follows its key") }
            members[key] = value
            stack.append(.object(members, key: nil))
        }
        expectation = .commaOrEnd
        return nil
    }

    static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09
    }

    /// Whether a number or keyword may continue with this byte.
    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): true
        default: false
        }
    }
}
