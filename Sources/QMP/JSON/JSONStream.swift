/// Cuts a byte stream into documents and goes on after what is not one.
///
/// After a wrong byte the rest of its line is skipped; so that requests without line ends recover too, skipping also ends where the
/// brackets that were open are closed, or before the next opening brace where none was open. A brace that is itself the wrong byte
/// begins the next document. Byte 0xFF, which UTF-8 never has, is an error and ends whatever was begun, as with QEMU: a client that
/// does not know how far its words came can make a fresh start.
package struct JSONStream: Sendable {
    package enum Element: Sendable {
        case document(JSONValue)
        case garbage(JSONError)
    }

    private var parser: JSONParser
    /// How many brackets are open while skipping; `nil` while reading.
    private var skippedDepth: Int?

    package init(limits: JSONParser.Limits) { parser = JSONParser(limits: limits) }

    /// Whether a document has begun and not ended.
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
                // Nowhere where a value ends or a key stands may a brace open: this is the next request after an unfinished one.
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
