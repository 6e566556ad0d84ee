/// A JSON document. A number that was read is written again with the same text.
public enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int)
    /// Always finite.
    case number(Double)
    /// A number whose text would change as an integer or a double: `12345678901234567890`, `1e2`, `-0`. Always valid in JSON's grammar.
    case numeral(String)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// The member of that name; `nil` if this is not an object or does not have it.
    public subscript(_ name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members[name]
    }

    /// The string; `nil` if this is something else.
    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The integer; `nil` if this is something else or does not fit 64 bits.
    public var integer: Int? {
        switch self {
        case .integer(let value): value
        // Only `-0` is an integer that fits.
        case .numeral(let text): Int(text)
        default: nil
        }
    }

    /// The boolean; `nil` if this is something else.
    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The array's elements; `nil` if this is something else.
    public var array: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }
}

extension JSONValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(stringLiteral value: String) { self = .string(value) }
}

extension JSONValue: ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(Dictionary(uniqueKeysWithValues: elements))
    }
}
