/// Splits a byte stream into documents, and continues after invalid input.
///
/// After a wrong byte the rest of its line is skipped. Requests without line ends must recover too, so skipping also ends when the brackets
/// that were open are closed, or, if none was open, before the next opening brace. If the wrong byte is itself a brace, it begins the next
/// document. Byte 0xFF never occurs in UTF-8. As with QEMU, it is an error and drops whatever has begun, so that a client that does not
/// know how much of its input arrived can start afresh.
package struct JSONStream: Sendable {
    package enum Element: Sendable {
        case document(JSONValue)
        case garbage(JSONError)
    }

    private var parser: JSONParser
    /// How many brackets are open while skipping; `nil` while reading.
    private var skippedDepth: Int?

    package init(limits: JSONParser.Limits) { parser = JSONParser(limits: limits) }

    /// Whether a document has begun and not ended yet.
    package var isInside: Bool { parser.isInside }

    package mutating func feed(_ byte: UInt8) -> Element? {
        if byte == 0xff {
            parser.reset()
            skippedDepth = nil
            return .garbage(.freshStart)
        }
        if let depth = skippedDepth {
            skip(byte, depth)
            // The brace that ends the skipping begins a document.
            guard skippedDepth == nil, byte == UInt8(ascii: "{") else { return nil }
        }
        let depth = parser.depth
        do throws(JSONError) {
            return try parser.feed(byte).map { .document($0) }
        } catch {
            if byte == UInt8(ascii: "{") {
                // A brace cannot come after a value or in place of a key: it is the next request after an unfinished one.
                _ = try? parser.feed(byte)
            } else {
                skippedDepth = depth
                skip(byte, depth)
            }
            return .garbage(error)
        }
    }

    private mutating func skip(_ byte: UInt8, _ depth: Int) {
        switch byte {
        case 0x0a: skippedDepth = nil
        case UInt8(ascii: "{") where depth == 0: skippedDepth = nil
        case UInt8(ascii: "{"), UInt8(ascii: "["): skippedDepth = depth + 1
        case UInt8(ascii: "}") where depth <= 1, UInt8(ascii: "]") where depth <= 1: skippedDepth = depth == 1 ? nil : depth
        case UInt8(ascii: "}"), UInt8(ascii: "]"): skippedDepth = depth - 1
        default: break
        }
    }
}
