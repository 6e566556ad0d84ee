import FoundationEssentials

extension JSONValue {
    /// How the text is laid out.
    public enum Layout: Sendable {
        /// One line, as on the wire.
        case compact
        /// One member a line, for people.
        case indented
    }

    /// The document as JSON text. Members are sorted by name.
    public func text(_ layout: Layout = .compact) -> String {
        var text = ""
        write(to: &text, layout, depth: 0)
        return text
    }

    private func write(to text: inout String, _ layout: Layout, depth: Int) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .number(let value):
            precondition(value.isFinite, "JSON has no word for a number that is not finite")
            text += "\(value)"
        case .numeral(let value): text += value
        case .string(let value): Self.write(value, to: &text)
        case .array(let items):
            Self.write(items, between: "[", "]", to: &text, layout, depth) { $0.write(to: &$1, layout, depth: depth + 1) }
        case .object(let members):
            let ordered = members.sorted { $0.key < $1.key }
            Self.write(ordered, between: "{", "}", to: &text, layout, depth) { member, text in
                Self.write(member.key, to: &text)
                text += ": "
                member.value.write(to: &text, layout, depth: depth + 1)
            }
        }
    }

    private static func write<Item>(
        _ items: [Item],
        between open: String,
        _ close: String,
        to text: inout String,
        _ layout: Layout,
        _ depth: Int,
        _ body: (Item, inout String) -> Void
    ) {
        text += open
        for (index, item) in items.enumerated() {
            if index > 0 { text += layout == .compact ? ", " : "," }
            if layout == .indented { text += "\n" + String(repeating: "  ", count: depth + 1) }
            body(item, &text)
        }
        if layout == .indented, !items.isEmpty { text += "\n" + String(repeating: "  ", count: depth) }
        text += close
    }

    private static func write(_ string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{0}"..<"\u{20}", "\u{7f}":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}

extension JSONValue {
    /// Encodes one of our types as a document.
    /// - Throws: if a number in it is not finite.
    public init(encoding value: some Encodable) throws {
        let data = try JSONEncoder().encode(value)
        self = try JSONParser.parse(data, limits: .trusted)
    }

    /// Decodes one of our types from the document.
    public func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(text().utf8))
    }
}
