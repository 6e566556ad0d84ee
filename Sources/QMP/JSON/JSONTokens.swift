import FoundationEssentials

/// The content of a JSON string: turns escapes into characters.
enum JSONString {
    private static let quote = UInt8(ascii: "\"")

    /// - Returns: `nil` if an escape is wrong, a surrogate is unpaired, or the bytes are not UTF-8.
    static func decode(_ raw: [UInt8]) -> String? {
        guard raw.contains(UInt8(ascii: "\\")) else { return String(validating: raw, as: UTF8.self) }
        return try? JSONDecoder().decode(String.self, from: Data([quote] + raw + [quote]))
    }
}

/// A JSON number. An integer that fits 64 bits stays an integer. No number changes its text between reading and writing.
enum JSONNumber {
    /// - Returns: `nil` if the text does not follow JSON's grammar.
    static func decode(_ raw: [UInt8]) -> JSONValue? {
        var rest = raw[...]
        if rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
        let whole = digits(&rest)
        guard !whole.isEmpty, whole.count == 1 || whole.first != UInt8(ascii: "0") else { return nil }
        let text = String(decoding: raw, as: UTF8.self)
        if rest.isEmpty, let integer = Int(text), String(integer) == text { return .integer(integer) }
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            if digits(&rest).isEmpty { return nil }
        }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest = rest.dropFirst()
            if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
            if digits(&rest).isEmpty { return nil }
        }
        guard rest.isEmpty else { return nil }
        if let number = Double(text), number.isFinite, "\(number)" == text { return .number(number) }
        return .numeral(text)
    }

    private static func digits(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        rest = rest.dropFirst(digits.count)
        return digits
    }
}
